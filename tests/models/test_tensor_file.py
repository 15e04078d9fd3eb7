"""Files written a tensor at a time are those of the safetensors library."""

from hashlib import sha256
from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from tezgah.models.tensor_file import NAMES, write_tensors

TENSORS = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=8),
    st.tuples(st.lists(st.integers(0, 4), max_size=3), st.sampled_from(list(NAMES))),
    max_size=5,
)


@given(TENSORS, st.sampled_from([None, {"format": "pt"}]))
def test_the_bytes_are_the_librarys(tmp_path_factory, kinds, metadata):
    torch.manual_seed(1)
    tensors = {name: (9 * torch.randn(shape)).to(dtype) for name, (shape, dtype) in kinds.items()}
    path: Path = tmp_path_factory.getbasetemp() / "one.safetensors"
    shapes = {name: tensor.to("meta") for name, tensor in tensors.items()}
    hashed = write_tensors(path, shapes, tensors.__getitem__, metadata)
    expected = save(tensors, metadata)
    assert path.read_bytes() == expected
    assert hashed == sha256(expected).hexdigest()


def test_a_transposed_tensor_is_written_as_it_is_read(tmp_path):
    tensor = torch.arange(6.0).reshape(2, 3).T
    write_tensors(tmp_path / "one", {"a": tensor.to("meta")}, lambda name: tensor)
    assert (tmp_path / "one").read_bytes() == save({"a": tensor.contiguous()})
