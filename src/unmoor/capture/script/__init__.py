"""TorchScript: its graphs, interpreted node by node under capture."""
