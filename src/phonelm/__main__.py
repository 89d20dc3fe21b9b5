"""`python -m phonelm`: the command `phonelm`."""

from phonelm.cli import main

main()
