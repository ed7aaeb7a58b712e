"""Notebook-first MLOps toolkit for generative AI"""

from __future__ import annotations
__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers read it as True; importing `typing` would cost 20 ms

_LAZY = {  # public name -> module that defines it
    "make_llm": "factory", "make_agent": "factory", "make_tool": "factory", "make_prompt": "factory", "make_evaluator": "factory",
    "register": "factory", "build": "factory",
    "compose": "orchestrator", "run_agents": "orchestrator", "evaluate": "orchestrator", "with_memory": "orchestrator",
    "tool": "tools.toolset", "Toolset": "tools.toolset",
    "Assistant": "assistant.inference",
    "open_index": "rag.index",
    "open_workspace": "core.settings",
    "Message": "core.base", "Reply": "core.base", "Document": "core.base", "Passage": "core.base", "LLM": "core.base",
    "FactoryError": "core.base",
    "run_job": "ops.runner", "run_flow": "ops.flow",
}
__all__ = ["__version__", *_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        from importlib import import_module
        value = globals()[name] = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


if TYPE_CHECKING:
    from .assistant.inference import Assistant as Assistant
    from .core.base import LLM as LLM, Document as Document, FactoryError as FactoryError, Message as Message
    from .core.base import Passage as Passage, Reply as Reply
    from .core.settings import open_workspace as open_workspace
    from .factory import build as build, make_agent as make_agent, make_evaluator as make_evaluator, make_llm as make_llm
    from .factory import make_prompt as make_prompt, make_tool as make_tool, register as register
    from .orchestrator import compose as compose, evaluate as evaluate, run_agents as run_agents, with_memory as with_memory
    from .tools.toolset import Toolset as Toolset, tool as tool
    from .ops.flow import run_flow as run_flow
    from .ops.runner import run_job as run_job
    from .rag.index import open_index as open_index
