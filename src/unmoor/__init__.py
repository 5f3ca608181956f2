"""Unmoor: traces PyTorch programs and saves them to run where there is no Python and no libtorch."""
