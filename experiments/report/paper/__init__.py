"""Tables and figures of a paper, as a file of ``configs/table`` describes them."""
