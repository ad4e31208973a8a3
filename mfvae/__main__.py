"""``python -m mfvae report FILE --output FOLDER``: words in a file to a verdict and a page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 2 for what cannot be read, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m mfvae", description=__doc__)
    report = parser.add_subparsers(dest="command", required=True).add_parser("report")
    report.add_argument("file", type=Path, help="npy, npz, mat, csv, tsv, txt, parquet or nwb")
    report.add_argument("--output", type=Path, required=True, help="folder; a rerun goes on there")
    report.add_argument("--key", help="name of the array in an npz or mat file")
    report.add_argument("--bin", type=float, help="seconds; the file then holds spike times")
    report.add_argument("--unordered", action="store_true", help="rows have no order in time")
    report.add_argument("--quick", action="store_true", help="a first look")
    report.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    import mfvae
    from mfvae.report import read_words

    try:
        X = read_words(options.file, bin_width=options.bin, key=options.key)
        found = mfvae.report(
            X,
            ordered=not options.unordered,
            quick=options.quick,
            seed=options.seed,
            folder=options.output / "stages",
        )
    except (TypeError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    found.to_html(options.output / "report.html")
    found.to_json(options.output / "report.json")
    found.vae.save(options.output / "vae.pt")
    print(found)
    print(f"see {options.output / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
