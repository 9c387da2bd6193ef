"""Paragraphs that the help of several commands ends with, or that are too long to stand among them."""

from __future__ import annotations

OVERRIDES = """\
Every part of a cell is set as GROUP=NAME or FIELD=VALUE, in Hydra's override syntax:
  task teacher api prices defense attack student proxy budget measure judge tracking launcher
                                         groups (`moatbench list`)
  seed max_tokens store out, and any field of a group (`moatbench show`), e.g. defense.temperature.tau=1.5
  defense=[a,b]                          several defenses, applied in this order
  hydra.searchpath=[pkg://yours.configs] also look for configurations in your own package
"""

CALIBRATE = """\
drop=SHARE      honest accuracy that the defense may cost, pooled over families: 0.05 is five points
family=NAME     measure the drop in this family of the task only
l1=DISTANCE     in place of drop=: how far sold probabilities may be from the truth, mean over tokens; 0.5 of at most 2
seed=0,1,2      seeds over which it is averaged (these by default)
The range of each strength is declared by its defense. Honest users ask measure.heldout of the provider's own items of each
family, never held-out ones. In a grid, write FIELD=drop:0.05 for the strength that costs five points, FIELD=l1:0.5 for the
one at that distance.

"""

GAME = """\
price=NUMBER    what a point of honest accuracy is worth, in points of transfer: 1 by default, 0 for transfer alone
family=NAME     transfer and accuracy in this family of the task only; pooled by default
Loss of the provider = transfer + price * drop of honest accuracy; he wants it small, the attacker large. Each threat model
is a game of its own. Methods that lack pairs are left out, and named.

"""

CAMPAIGN = """\
Every part of a campaign is set as GROUP=NAME or FIELD=VALUE, in Hydra's override syntax:
  campaign population market policy link prices tracking launcher   groups (`moatbench list`)
  seed epoch_hours encoder past curves threads store out, and any field of a group
Without policy= the policies none, limits, accounts, linking and full are compared.
"""
