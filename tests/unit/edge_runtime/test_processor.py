"""The name and the instruction sets of this machine's processor."""

from pathlib import Path

from edge_runtime.processor import read_processor


def test_an_x86_processor_has_a_name_and_instruction_sets(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    one = "processor\t: {}\nmodel name\t: Intel(R) Atom(TM)\nflags\t\t: fpu sse4_1 sse4_2 avx2 avx_vnni rdrand\n\n"
    cpuinfo.write_text(one.format(0) + one.format(1))
    found = read_processor(cpuinfo)
    assert (found.name, found.instruction_sets) == ("Intel(R) Atom(TM)", ("sse4_1", "sse4_2", "avx2", "avx_vnni"))


def test_an_arm_processor_has_a_board_name_and_instruction_sets(tmp_path: Path) -> None:
    cpuinfo, board = tmp_path / "cpuinfo", tmp_path / "model"
    cpuinfo.write_text("processor\t: 0\nFeatures\t: fp asimd asimddp\n\nModel\t\t: Raspberry Pi 5\n")
    board.write_text("not read\0")
    found = read_processor(cpuinfo, board)
    assert (found.name, found.instruction_sets) == ("Raspberry Pi 5", ("asimd", "asimddp"))


def test_a_board_without_a_name_in_cpuinfo_is_named_by_its_device_tree(tmp_path: Path) -> None:
    cpuinfo, board = tmp_path / "cpuinfo", tmp_path / "model"
    cpuinfo.write_text("processor\t: 0\nFeatures\t: fp asimd i8mm\n")
    board.write_text("NVIDIA Jetson Orin Nano\0")
    assert read_processor(cpuinfo, board).name == "NVIDIA Jetson Orin Nano"


def test_without_information_from_the_kernel_nothing_is_reported(tmp_path: Path) -> None:
    found = read_processor(tmp_path / "absent", tmp_path / "absent")
    assert (found.name, found.instruction_sets) == ("", ())
