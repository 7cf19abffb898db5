"""Make everything that is needed to run Musterroll from this checkout: `python3 scripts/setup.py`.

Leaves `.venv/bin/muster`. May be run again at any time; does nothing when there is nothing to do.
"""

from _bootstrap import ROOT, ensure

if __name__ == "__main__":
    ensure("run")
    print(f"Musterroll is ready: {ROOT / '.venv' / 'bin' / 'muster'}")
