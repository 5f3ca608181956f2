"""Makes `python -m unmoor` the command `unmoor`."""

from unmoor.cli.main import script

script()
