"""The number of nodes that each wave reaches. Waves are cumulative: a wave counts the nodes of those before it."""

from edgemodel.spec import Wave


def plan_waves(waves: tuple[Wave, ...], node_count: int) -> tuple[int, ...]:
    """Returns for each wave how many of ``node_count`` nodes run the candidate when it is complete.

    The numbers never fall and never exceed ``node_count``; a wave has at least one node if there is one; percentages
    are rounded up.

    >>> plan_waves((Wave("canary", nodes=1), Wave("tenth", percent=10), Wave("all", percent=100)), 30)
    (1, 3, 30)
    """
    plan: list[int] = []
    for wave in waves:
        wanted = wave.nodes if wave.nodes is not None else -(-node_count * (wave.percent or 0) // 100)
        plan.append(min(node_count, max(wanted, 1, *plan[-1:])))
    return tuple(plan)
