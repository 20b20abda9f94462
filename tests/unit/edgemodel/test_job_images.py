"""The images of compression Jobs: formats name them, the operator chooses by them, the catalogue builds them."""

import pytest

from charts.images.catalogue import IMAGES, platforms_of
from edge_compressor.formats import FORMATS
from edgemodel.compressor_facts import SOURCE_FORMATS
from edgemodel.job_images import COMPRESSOR, JOB_IMAGES, TRAINER, JobImage, image_for


def test_every_format_names_an_image_that_is_built() -> None:
    for one in FORMATS.values():
        assert JOB_IMAGES[one.image.name] is one.image
        assert SOURCE_FORMATS[one.name].image == one.image.name
    for image in JOB_IMAGES.values():
        built = IMAGES[image.name]
        assert "operator/edge_compressor" in built.code
        assert built.platforms == platforms_of(image)


@pytest.mark.parametrize(
    ("names", "image"),
    [
        ([], COMPRESSOR),
        (["compressor"], COMPRESSOR),
        (["compressor", "trainer"], TRAINER),
        (["trainer", "compressor"], TRAINER),
    ],
)
def test_a_job_runs_the_first_image_that_has_all_libraries(names: list[str], image: JobImage) -> None:
    assert image_for(names) is image


def test_libraries_that_no_image_has_together_are_an_error() -> None:
    with pytest.raises(ValueError, match="no image has the libraries of compressor, other"):
        image_for(["other", "compressor"])


def test_the_operator_gets_each_by_a_variable() -> None:
    assert [image.variable for image in JOB_IMAGES.values()] == [
        "EDGEMODEL_COMPRESSOR_IMAGE",
        "EDGEMODEL_TRAINER_IMAGE",
    ]
