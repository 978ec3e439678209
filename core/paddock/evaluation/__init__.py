"""The end of an episode: what an agent leaves behind, judged where it never was.

::

    Check          what is to be run, and how its verdict is read       check.py
    evaluate       kill, carry, stage, run, read                        evaluate.py
      the agent's files into a sandbox of another identity              carrying.py
      the check's files beside them, Harbor's paths made ours           staging.py
      what reward files say                                             rewards.py
    Verdict        the reward, its parts, or why there is none          verdict.py

Nothing an agent wrote or left running takes part in it but the files of its workspace, as a copy.
"""

from paddock.evaluation.check import Check
from paddock.evaluation.evaluate import AROUND_S, evaluate
from paddock.evaluation.verdict import Verdict

__all__ = ["AROUND_S", "Check", "Verdict", "evaluate"]
