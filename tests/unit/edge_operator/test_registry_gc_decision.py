"""The images that the embedded registry need not keep, and the times at which it may restart to free the bytes."""

from datetime import UTC, datetime, timedelta

from edge_operator.decide.artifact.compression import RETRY_LONGEST
from edge_operator.decide.artifact.registry_gc import GRACE_SECONDS, ImagesInUse, TaggedImage, may_free, sweep

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = float(GRACE_SECONDS)


def image(letter: str, *, repository: str = "vision/defects", platforms: str = "") -> TaggedImage:
    """Returns an index with a manifest of its own for each of two platforms, unless ``platforms`` names others."""
    below = tuple(f"sha256:{name * 63}0" for name in platforms) or (f"sha256:{letter * 63}1", f"sha256:{letter * 63}2")
    return TaggedImage(repository, f"sha256:{letter * 64}", below)


def named(*images: TaggedImage) -> ImagesInUse:
    return ImagesInUse(frozenset(item.reference for item in images))


def test_an_image_that_no_revision_names_goes_after_an_hour() -> None:
    old = image("a")
    first = sweep([old], ImagesInUse(), {}, now=100.0)
    assert first.doomed == {}
    assert sweep([old], ImagesInUse(), first.seen, now=100.0 + HOUR - 1).doomed == {}
    assert list(sweep([old], ImagesInUse(), first.seen, now=100.0 + HOUR).doomed) == [old]


def test_an_image_that_a_revision_names_stays() -> None:
    kept = image("a")
    seen = sweep([kept], named(kept), {}, now=0.0).seen
    assert sweep([kept], named(kept), seen, now=100 * HOUR).doomed == {}


def test_the_grace_period_restarts_when_a_revision_names_it_again() -> None:
    back = image("a")
    seen = sweep([back], ImagesInUse(), {}, now=0.0).seen
    seen = sweep([back], named(back), seen, now=HOUR).seen
    seen = sweep([back], ImagesInUse(), seen, now=HOUR + 1).seen
    assert sweep([back], ImagesInUse(), seen, now=2 * HOUR).doomed == {}
    assert list(sweep([back], ImagesInUse(), seen, now=2 * HOUR + 1).doomed) == [back]


def test_nothing_of_a_model_goes_while_its_job_runs_or_within_an_hour_after() -> None:
    pushed, other = image("a"), image("b", repository="audio/words")
    running = ImagesInUse(repositories=frozenset({"vision/defects"}))
    seen = sweep([pushed, other], ImagesInUse(), {}, now=0.0).seen
    during = sweep([pushed, other], running, seen, now=3 * HOUR)
    assert list(during.doomed) == [other]
    assert pushed not in sweep([pushed], ImagesInUse(), during.seen, now=3 * HOUR + 1).doomed


def test_a_checkpoint_outlives_every_pause_between_two_attempts_of_a_job() -> None:
    checkpoint = TaggedImage("vision/defects", f"sha256:{'c' * 64}", ())
    running = ImagesInUse(repositories=frozenset({"vision/defects"}))
    seen = sweep([checkpoint], running, {}, now=0.0).seen
    now = 5 * HOUR
    for _ in range(20):
        swept = sweep([checkpoint], ImagesInUse(), seen, now)
        now += RETRY_LONGEST.total_seconds()
        swept = sweep([checkpoint], ImagesInUse(), swept.seen, now)
        assert swept.doomed == {}
        seen = sweep([checkpoint], running, swept.seen, now + 1).seen
    seen = sweep([checkpoint], ImagesInUse(), seen, now).seen
    assert sweep([checkpoint], ImagesInUse(), seen, now + HOUR).doomed == {checkpoint: (checkpoint.digest,)}


def test_the_same_digest_in_another_repository_is_another_image() -> None:
    kept, old = image("a"), image("a", repository="audio/words")
    seen = sweep([kept, old], named(kept), {}, now=0.0).seen
    assert list(sweep([kept, old], named(kept), seen, now=HOUR).doomed) == [old]


def test_an_image_that_lost_its_tag_to_another_is_not_forgotten() -> None:
    former, latter = image("a"), image("b")
    seen = sweep([former], named(former), {}, now=0.0).seen
    seen = sweep([latter], named(latter), seen, now=1.0).seen
    assert list(sweep([latter], named(latter), seen, now=HOUR + 1).doomed) == [former]


def test_the_index_goes_after_its_platforms() -> None:
    old = image("a")
    assert sweep([old], ImagesInUse(), {old: 0.0}, now=HOUR).doomed[old] == (*old.platforms, old.digest)


def test_a_platform_that_an_image_in_use_has_too_stays() -> None:
    old, kept = image("a", platforms="pq"), image("b", platforms="qr")
    (digests,) = sweep([old, kept], named(kept), {old: 0.0}, now=HOUR).doomed.values()
    assert digests == (old.platforms[0], old.digest)


def test_space_is_freed_once_a_day_at_most() -> None:
    assert may_free(None, False, NOW)
    assert not may_free(NOW - timedelta(hours=23), False, NOW)
    assert may_free(NOW - timedelta(hours=24), False, NOW)


def test_no_space_is_freed_while_a_job_runs() -> None:
    assert not may_free(None, True, NOW)


def test_a_clock_that_was_set_back_does_not_keep_space_from_being_freed() -> None:
    assert may_free(NOW + timedelta(days=400), False, NOW)
