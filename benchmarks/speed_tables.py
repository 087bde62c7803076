"""The tables of `speed.py`: steps per second, ratios within rounds, and the limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from report import table
from speed_works import LIMITS, PEERS, Work

Rounds = Sequence[Mapping[str, float]]  # steps per second by library or limit, for each round


@dataclass(frozen=True)
class Comparison:
    """footlight's speed as a multiple of a peer's."""

    work: str
    threads: str
    peer: str
    ratios: Sequence[float]
    """One for each round."""
    must: float | None
    aim: float | None


def complete(rounds: Rounds) -> dict[str, list[float]]:
    """Steps per second of all rounds, for what has been measured in each of them."""
    names = [name for name in rounds[0] if all(name in each for each in rounds)] if rounds else []
    return {name: [each[name] for each in rounds] for name in names}


def best_of(tried: Sequence[Rounds]) -> list[dict[str, float]]:
    """Each library at the number of threads that suits it best."""
    best: dict[str, list[float]] = {}
    for rates in map(complete, tried):
        for name, values in rates.items():
            best[name] = max(best.get(name, values), values, key=median)
    number = min((len(values) for values in best.values()), default=0)
    return [{name: values[i] for name, values in best.items()} for i in range(number)]


def compare(work: Work, threads: str, rounds: Rounds, judge: bool) -> list[Comparison]:
    """A comparison with each peer that was measured, with targets if `judge`."""
    rates = complete(rounds)
    found = []
    for peer in PEERS:
        if "footlight" in rates and peer in rates:
            pairs = zip(rates["footlight"], rates[peer], strict=True)
            must, aim = (targets.get(peer) if judge else None for targets in (work.must, work.aim))
            ratios = [ours / theirs for ours, theirs in pairs]
            found.append(Comparison(str(work), threads, peer, ratios, must, aim))
    return found


def spread(values: Sequence[float], digits: int) -> str:
    """Median and range."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}..{max(values):,.{digits}f})"


def speed(values: Sequence[float]) -> str:
    """Steps per second: median and range."""
    return spread(values, 0 if median(values) >= 20 else 1)


def verdict(target: float | None, reached: float) -> str:
    """A target ratio, and whether it is met."""
    return "-" if target is None else f"{target:g} {'met' if reached >= target else 'not met'}"


def speed_table(
    rows: Sequence[tuple[Work, str, int, Rounds]], libraries: Sequence[str]
) -> list[str]:
    """Steps per second. rows: work, threads, steps timed, and rounds."""
    lines = [["environment steps per second", "steps", "threads", *libraries]]
    for work, threads, window, rounds in rows:
        rates = complete(rounds)
        cells = [speed(rates[name]) if name in rates else "-" for name in libraries]
        lines.append([str(work), f"{window:,}", threads, *cells])
    return table(lines)


def ratio_table(comparisons: Sequence[Comparison]) -> list[str]:
    """The ratios and their targets; nothing where nothing was compared."""
    lines = [["footlight / peer", "threads", "peer", "ratio", "must", "aim"]]
    for one in comparisons:
        reached = median(one.ratios)
        verdicts = [verdict(target, reached) for target in (one.must, one.aim)]
        lines.append([one.work, one.threads, one.peer, spread(one.ratios, 2), *verdicts])
    return table(lines) if comparisons else []


def limit_table(rows: Sequence[tuple[Work, str, int, Rounds]]) -> list[str]:
    """The parts of a loop, each alone, and how near footlight comes to stepping and update, one
    after the other; nothing where they were not measured."""
    lines = [["limits, steps per second", "threads", *LIMITS, "footlight / both",
              "products / update"]]  # fmt: skip
    for work, threads, _, rounds in rows:
        rates = complete(rounds)
        if {*LIMITS} <= rates.keys():
            cells = [speed(rates[name]) for name in LIMITS]
            pairs = zip(rates["stepping"], rates["update"], strict=True)
            both = [1 / (1 / stepping + 1 / update) for stepping, update in pairs]
            share = "-"
            if "footlight" in rates:
                ours = zip(rates["footlight"], both, strict=True)
                share = f"{median(speed / limit for speed, limit in ours):.0%}"
            pairs = zip(rates["update"], rates["products"], strict=True)
            part = f"{median(update / products for update, products in pairs):.0%}"
            lines.append([str(work), threads, *cells, share, part])
    return table(lines) if lines[1:] else []
