"""Where training happens is said as it is."""

from tezgah.training import place


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
