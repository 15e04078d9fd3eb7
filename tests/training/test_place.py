"""Where training happens is said as it is."""

import torch

from tezgah.training import place
from tezgah.training.settings import TrainSettings


def test_mps_is_not_said_to_lack_a_compiler(capsys):
    assert not place._compiles("mps")
    said = capsys.readouterr().err
    assert "for cpu and cuda, not for mps" in said
    assert "C++" not in said


def test_a_cpu_without_a_compiler_is_named(capsys, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert not place._compiles("cpu")
    assert "there is no C++ compiler here" in capsys.readouterr().err


def test_fp32_products_on_a_gpu_are_tf32_where_it_has_it_and_said_to_be(monkeypatch):
    monkeypatch.setattr(place, "devices", lambda: ("cuda", "cpu"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    settings = TrainSettings(precision="fp32", compile=False, threads=1)
    before = torch.get_float32_matmul_precision()
    try:
        for capability, name in (((9, 0), "tfloat32"), ((7, 5), "float32")):
            monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
            assert place.choose_place(settings).environment()["precision"] == name
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    on_cpu = place.choose_place(TrainSettings(precision="fp32", compile=False, threads=1, device="cpu"))
    assert on_cpu.environment()["precision"] == "float32"
    assert torch.get_float32_matmul_precision() == before


def test_fp16_on_a_cpu_is_said_to_be_slow(capsys):
    chosen = place.choose_place(TrainSettings(precision="fp16", device="cpu", compile=False, threads=1))
    assert chosen.matrix_dtype == torch.float16
    assert "a CPU multiplies it slowly" in capsys.readouterr().err
