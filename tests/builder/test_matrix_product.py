"""What a library gets out of the cores."""

import pytest
import torch

from builder.cpu import has_onednn_int8
from builder.matrix_product import int8_operations_a_second


@pytest.mark.skipif(not has_onednn_int8(), reason="this CPU would take minutes")
def test_a_product_is_measured_and_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    assert int8_operations_a_second(1) > 1e8
    assert torch.get_num_threads() == before
