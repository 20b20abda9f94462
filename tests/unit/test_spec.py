"""What a spec is called: names that must not change between versions of the operator."""

from edgemodel.spec import parse_spec
from tests.support.simulation import model_spec


def test_an_unchanged_spec_keeps_its_hashes_so_that_an_upgrade_rolls_out_nothing() -> None:
    """When this fails, every model of every user would be rolled out anew: mend the hash, not the test."""
    plain = parse_spec(model_spec())
    assert (plain.fingerprint(), plain.revision_hash()) == ("07c0c734b7101f4c", "3f3e9c58f8")
    step = {"name": "int8", "type": "QuantizeDynamic", "quantizeDynamic": {"perChannel": True, "reduceRange": True}}
    rich = parse_spec(
        model_spec(
            compression={"steps": [step], "budget": {"maxSizeBytes": 1000}},
            datasets={"evaluation": {"uri": "https://data.example/set.npz"}},
            variants=[{"name": "pi", "nodeSelector": {"board": "pi"}, "compression": {"steps": []}}],
            serving={"port": 9000, "strategy": "Recreate", "hostPort": 9000},
        )
    )
    assert (rich.fingerprint(), rich.revision_hash()) == ("6280e384219e7aaa", "e1d902b62b")


def test_tolerations_and_the_retry_token_make_a_revision_and_no_artifact() -> None:
    plain = parse_spec(model_spec())
    tolerant = parse_spec(
        model_spec(placement={"nodeSelector": {"edge": "camera"}, "tolerations": [{"operator": "Exists"}]})
    )
    assert tolerant.fingerprint() == plain.fingerprint()
    assert tolerant.revision_hash() != plain.revision_hash()


def test_how_the_server_is_tuned_makes_a_revision_and_no_artifact() -> None:
    plain = parse_spec(model_spec())
    tuned = parse_spec(model_spec(serving={"tuning": {"maxBatchItems": 8}}))
    assert tuned.fingerprint() == plain.fingerprint()
    assert tuned.revision_hash() != plain.revision_hash()
    assert parse_spec(model_spec(serving={"tuning": {}})).revision_hash() == plain.revision_hash()
