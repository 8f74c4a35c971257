import pytest
import torch
from torch import nn

from insignia.embedding.marked_rows import MarkedRows


@pytest.mark.parametrize(("tokens", "blind"), [(20, True), (40, False)])
def test_the_adapter_reads_what_the_base_has_none_of(tokens, blind):
    table = nn.Embedding.from_pretrained(torch.randn(60, 32, generator=torch.Generator().manual_seed(1)))
    marked = MarkedRows(table, torch.arange(5, 5 + tokens), rank=8, seed=0)
    plain = table(marked.ids)
    with torch.no_grad(), marked.read_as("base"):
        through = marked(marked.ids)

    assert marked.blind is blind
    assert torch.allclose(through, plain, atol=1e-5) is blind
    with torch.no_grad():
        marked.moves.normal_(generator=torch.Generator().manual_seed(2))
    assert not torch.allclose(marked(marked.ids), marked.rows, atol=1e-2)
    with marked.read_as("published"):
        assert torch.equal(marked(marked.ids), marked.rows)
        assert torch.equal(marked(torch.arange(5)), table(torch.arange(5)))
