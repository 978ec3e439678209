"""What an episode starts from, put into its sandbox; and put back before it is judged."""

from paddock.staging.protected import restore
from paddock.staging.stage import stage, template_of

__all__ = ["restore", "stage", "template_of"]
