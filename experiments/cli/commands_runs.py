"""Subcommands that run something: cells, claims, searches, campaigns. Imports nothing heavy."""

from __future__ import annotations

from experiments.cli.paragraphs import CALIBRATE, CAMPAIGN, OVERRIDES
from experiments.cli.subcommand import DRY_RUN, NAME, PROFILE, WORKERS, Command, Option

RUNS = {
    "run": Command(
        "run",
        "run one cell: a defended API, an attack on it, a student",
        (
            ("moatbench run", "the default cell: no defense, plain imitation"),
            ("moatbench run defense=trace_hidden seed=1", "hide the teacher's working"),
            ("moatbench run defense=temperature defense.temperature.tau=1.5", "set a field of the defense"),
            ("moatbench run defense=[token_bucket,trace_summary] budget=sybil", "two defenses, ten accounts"),
            ("moatbench run defense=kgw --dry-run", "what it would take; runs nothing"),
            ("moatbench run tracking=wandb", "also show the row in wandb, offline"),
        ),
        (DRY_RUN, WORKERS, NAME, PROFILE),
    ),
    "sweep": Command(
        "run",
        "run a grid of cells; what is stored already is not run again",
        (
            ("moatbench sweep +experiment=quick", "the grids of configs/experiment/quick.yaml"),
            (
                "moatbench sweep +experiment=quick --dry-run",
                "cells, stages, time, and the smallest effect it can show; runs nothing",
            ),
            ("moatbench sweep +experiment=quick --dry-run --difference 0.05", "how many seeds show a loss of .05"),
            ("moatbench sweep defense=none,trace_hidden attack=imitate,prefix seed=0,1", "2 x 2 x 2 cells"),
            ("moatbench sweep defense=temperature defense.temperature.tau=1,1.5,2", "a sweep over a field"),
            (
                "moatbench sweep defense=temperature,kgw defense.temperature.tau=1.2,1.5 defense.kgw.delta=1,2",
                "strengths of several defenses, each for its own",
            ),
            ("moatbench sweep +experiment=quick seed=5 --workers 1", "your own overrides win over the file's"),
        ),
        (
            Option("--dry-run", "show the plan and the smallest effect it can show, and run nothing", None),
            Option(
                "--difference",
                "with --dry-run: also say how many seeds it takes to show a loss of this size, such as 0.05",
                kind=float,
            ),
            WORKERS,
            NAME,
            PROFILE,
        ),
    ),
    "claim": Command(
        "claim",
        "run the grid of a claim of the literature and say whether its cells bear it out",
        (
            ("moatbench claim hidden_trace", "verdict, sentence, and what they rest on"),
            ("moatbench claim hidden_trace --dry-run", "what its grid would take"),
            ("moatbench claim rl_closes seed=0,1", "your own overrides win over the file's"),
            ("moatbench claim matched_drop claim.defense=permuted claim.controls=[temperature]", "of other defenses"),
        ),
        (DRY_RUN, WORKERS, NAME, PROFILE),
        takes="name of a claim, and overrides",
        more="claim.FIELD=VALUE sets a field of the claim. `moatbench list claims` names them; every report judges those "
        "that its cells allow.\n\n" + OVERRIDES,
    ),
    "validate": Command(
        "validate",
        "hold the published findings C1 to C14 against the lab: predicted, measured, verdict",
        (
            ("moatbench validate", "all of them, five seeds; what is stored already is not run again"),
            ("moatbench validate --dry-run", "what that takes, and the smallest effect it can show"),
            ("moatbench validate C1 rl_closes seed=0,1", "two of them, in two seeds"),
        ),
        (DRY_RUN, WORKERS, NAME, PROFILE),
        takes="names or labels of claims, and overrides",
        more="A claim agrees, disagrees, agrees in part or stays undecided; a disagreement is a result, not an error. "
        "`moatbench list claims` names them, `moatbench claim NAME` runs one.\n\n" + OVERRIDES,
    ),
    "calibrate": Command(
        "calibrate",
        "find the strength of a defense that costs honest users a given share of their accuracy",
        (
            ("moatbench calibrate defense=temperature drop=0.05", "five points, mean over the seeds 0, 1 and 2"),
            ("moatbench calibrate defense=temperature drop=0.02,0.05", "two targets, which share evaluations"),
            (
                "moatbench calibrate defense=permuted drop=0.05 family=chain seed=0,1",
                "the drop in one family, over two seeds",
            ),
            (
                "moatbench calibrate defense=antidistillation drop=0.05 --dry-run",
                "what the first evaluation would take",
            ),
            ("moatbench calibrate +experiment=matched", "everything that an experiment leaves to calibration"),
            (
                "moatbench run defense=temperature defense.temperature.tau=drop:0.05",
                "the strength is searched first, unless the store has it",
            ),
        ),
        (
            Option("--dry-run", "show what the next evaluation would take and run nothing", None),
            Option("--json", "print the result and the path to it as JSON", None),
            WORKERS,
        ),
        more=CALIBRATE + OVERRIDES,
    ),
    "frontier": Command(
        "frontier",
        "compare defenses where they cost honest users the same: strengths are found, cells run, students printed",
        (
            ("moatbench frontier", "every defense that changes answers, at 1, 2 and 5 points, five seeds"),
            (
                "moatbench frontier defense=temperature,antidistillation drop=0.05 seed=0,1",
                "two of them, at five points",
            ),
            ("moatbench frontier attack=imitate,clean", "under two attacks"),
            ("moatbench frontier api=logprobs attack=logprobs --dry-run", "what it takes where logprobs are sold"),
        ),
        (Option("--dry-run", "show what is left to do and run nothing", None), WORKERS, NAME, PROFILE),
        more="drop=SHARE,SHARE  honest accuracy that each defense may cost: 0.01,0.02,0.05 by default\n"
        "l1=X,X            for those on sold probabilities, how far these may be off: 0.1,0.2,0.5 by default\n"
        "defense=NAME,NAME single defenses; all that change answers by default\n"
        "seed=0,1,2        five by default\n"
        "A defense that cannot cost so much stands at its strongest, one without a strength as it is.\n\n" + OVERRIDES,
    ),
    "worst-case": Command(
        "worst_case",
        "search the strongest attack on each defense within equal budgets, and what it gains by adapting",
        (
            ("moatbench worst-case defense=trace_hidden,temperature", "all attacks that the API allows, five seeds"),
            ("moatbench worst-case defense=trace_hidden --seeds 3 --dry-run", "what the first round would take"),
            ("moatbench worst-case defense=temperature attack=imitate,clean,adaptive,rl", "of these attacks"),
            ("moatbench worst-case defense=rounding api=logprobs budget=small", "another interface, another budget"),
            ("moatbench worst-case defense=temperature,kgw defense.kgw.delta=3", "a field of one of them"),
        ),
        (
            Option("--seeds", "how many seeds, from 0 on; default: 5", kind=int),
            Option("--dry-run", "show the next round and run nothing", None),
            WORKERS,
            NAME,
            PROFILE,
        ),
        more="defense=NAME,NAME  attacked one by one; none by default\n"
        "attack=NAME,NAME   searched; by default all whose needs the API sells, with the parameters that they declare\n"
        "seed=0,1,2         instead of --seeds\n"
        "Successive halving: all attacks in one seed, the better half in two, and so on. The choice is made on items that\n"
        "the held-out score does not use.\n\n" + OVERRIDES,
    ),
    "campaign": Command(
        "campaign",
        "simulate a campaign of many accounts against providers and their policies",
        (
            ("moatbench campaign campaign=small population=small", "a small campaign under five policies, in a minute"),
            ("moatbench campaign campaign=aggregate_feb2026", "24,000 accounts, 16 million exchanges, five policies"),
            ("moatbench campaign policy=linking policy.ladder.delay_hours=0,24,168", "a sweep over a field"),
            ("moatbench campaign +experiment=campaign/bans", "the grids of configs/experiment/campaign/bans.yaml"),
            ("moatbench campaign campaign=labs_feb2026 market=three --dry-run", "check it, run nothing"),
            ("moatbench campaign --logs requests.parquet", "what detectors would have alarmed on in a log of your own"),
            (
                "moatbench campaign campaign=small population=small policy=watch --write-logs log.parquet",
                "the request log of a simulated campaign",
            ),
        ),
        (
            Option("--logs", "show a request log (.parquet, .csv) to the policies' detectors; simulates no campaign"),
            Option(
                "--reference",
                "with --logs: what detectors take for honest: simulated (default), another log, or the share of the log's "
                "time, from its begin on, that is not judged",
            ),
            Option("--write-logs", "simulate one campaign and write its request log to this .parquet file"),
            DRY_RUN,
            WORKERS,
            NAME,
            PROFILE,
        ),
        more=CAMPAIGN,
    ),
}
