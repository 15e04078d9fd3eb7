"""Rows that several processes wrote come back, however they are asked for."""

import json
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tezgah.errors import InputError
from tezgah.training.parts import StoredTensors, write_part
from tezgah.training.sharding import Rows


def write(folder, tensor: torch.Tensor, cuts: list[int]) -> None:
    """The rows of `tensor`, cut so, as parts; and a number that the first alone has."""
    folder.mkdir(parents=True, exist_ok=True)
    ends = [0, *sorted(cuts), len(tensor)]
    for process, (start, end) in enumerate(pairwise(ends)):
        tensors, rows = {"w": tensor[start:end]}, {"w": Rows(tuple(tensor.shape), start, end - start)}
        if process == 0:
            tensors["w/step"], rows["w/step"] = torch.tensor(7.0), Rows((), 0, 1)
        write_part(folder, process, len(ends) - 1, tensors, rows)


@given(st.data())
def test_any_rows_come_back_from_any_parts(tmp_path_factory, data):
    length, columns = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 3))
    tensor = torch.arange(float(length * columns)).reshape(length, columns)
    cuts = data.draw(st.lists(st.integers(0, length), max_size=4))
    folder = tmp_path_factory.mktemp("parts")
    write(folder, tensor, cuts)
    stored = StoredTensors.of_parts(folder, len(cuts) + 1)
    start = data.draw(st.integers(0, length))
    count = data.draw(st.integers(0, length - start))
    assert torch.equal(stored.read("w", Rows((length, columns), start, count)), tensor[start : start + count])
    assert torch.equal(stored.read("w"), tensor)
    assert float(stored.read("w/step")) == 7
    assert stored.like("w").shape == tensor.shape and stored.like("w").device.type == "meta"


def test_parts_that_do_not_make_up_a_tensor_are_refused(tmp_path):
    write(tmp_path, torch.zeros(6, 2), [2, 4])
    path = tmp_path / "part-00001-of-00003.json"
    index = json.loads(path.read_text())
    for start in (1, 3):
        index["tensors"]["w"]["start"] = start
        path.write_text(json.dumps(index))
        with pytest.raises(InputError, match="its parts do not make up w"):
            StoredTensors.of_parts(tmp_path, 3)
    index["tensors"]["w"]["start"] = "two"
    path.write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"part-00001-of-00003\.json: damaged \(Expected `int`"):
        StoredTensors.of_parts(tmp_path, 3)
    path.unlink()
    with pytest.raises(InputError, match=r"part-00001-of-00003\.json: cannot be read"):
        StoredTensors.of_parts(tmp_path, 3)
    path.write_text(json.dumps({**index, "format": 9}))
    with pytest.raises(InputError, match="format 9 is newer"):
        StoredTensors.of_parts(tmp_path, 3)


def test_a_tensor_of_another_shape_is_refused(tmp_path):
    write(tmp_path, torch.zeros(6, 2), [3])
    with pytest.raises(InputError, match=r"w is \(6, 2\), the model's \(6, 3\)"):
        StoredTensors.of_parts(tmp_path, 2).read("w", Rows((6, 3), 0, 6))
