"""What a library gets out of the cores."""

import torch

from builder.matrix_product import int8_operations_a_second


def test_a_product_is_measured_and_leaves_the_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    assert int8_operations_a_second(1) > 1e8
    assert torch.get_num_threads() == before
