"""How much of the teacher's capability moved: the ratios of a table, from accuracies seed by seed.

S_base is the student before any query, S_self the same effort without the teacher, S_undef the undefended attack, S_def
the attack on the defended API; T_clean and T_def are the teacher without and through the defense. A ratio whose
denominator is inside its noise is blank: `experiments.measure.estimate.in_noise` states the rule. The family ``pooled``
is the ratio of the macro means over families, not the mean of the ratios, which one small denominator would rule.
"""

from __future__ import annotations

from experiments.measure.quantity import Quantity, difference, quotient

POOLED = "pooled"


def transfer(student: Quantity, base: Quantity, teacher: Quantity) -> Quantity:
    """(S − S_base)/(T_clean − S_base): 0 nothing moved, 1 everything; may leave [0, 1]."""
    return quotient(difference(student, base), difference(teacher, base))


def relative_transfer(defended: Quantity, base: Quantity, undefended: Quantity) -> Quantity:
    """(S_def − S_base)/(S_undef − S_base): the share of an undefended attack's gain that the defense let through."""
    return quotient(difference(defended, base), difference(undefended, base))


def distillation_effectiveness(defended: Quantity, undefended: Quantity) -> Quantity:
    """DE = S_def/S_undef (DistillGuard, arXiv 2603.07835)."""
    return quotient(defended, undefended)


def defense_cost(clean: Quantity, defended: Quantity) -> Quantity:
    """DC = (T_clean − T_def)/T_clean (DistillGuard, arXiv 2603.07835), refusals counting as wrong."""
    return quotient(difference(clean, defended), clean)
