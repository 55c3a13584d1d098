"""What to put in a prompt: the summary and the newest turns within a token budget, in three forms. Pure."""

from turnlog_query.context.assemble import Assembled, Recall, assemble
from turnlog_query.context.forms import FORMS, Form, form_of
from turnlog_query.context.said import Said, said_of

__all__ = ["FORMS", "Assembled", "Form", "Recall", "Said", "assemble", "form_of", "said_of"]
