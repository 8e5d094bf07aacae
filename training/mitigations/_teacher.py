"""A teacher for the distillations: fine-tuned before the student's first step, then frozen and asked in eval mode."""

from __future__ import annotations

import dataclasses

import torch

from training import registry
from training.errors import UserError
from training.hooks import Batch, Context, State
from training.learning_rates import learning_rate
from training.loop import fine_tune
from training.model import Classifier
from training.stack import Mitigation, Stack

PREPARATION = "training a teacher"
KEY = "teacher"


def open_stack(names: str) -> Stack:
    """The teacher's mitigations, `lora+fgm`, each with its default settings. Raises UserError."""
    mitigations = []
    for name in names.split("+"):
        plugin = registry.load("training.mitigations", name)
        if getattr(plugin, "PREPARATION", "") == PREPARATION:
            raise UserError(
                f"'{name}' would train a teacher for the teacher. Choose another mitigation as the teacher."
            )
        mitigations.append(Mitigation(name, plugin, registry.configure(plugin, {})))
    return Stack(mitigations)


def train(module: torch.nn.Module, context: Context, stack: Stack, model: str = "") -> torch.nn.Module:
    """Fine-tunes a fresh encoder (`model`, else the arm's own) and returns the student with that teacher beside it."""
    if any(KEY in vars(part) for part in module.modules()):
        raise UserError("two distillations cannot stack: each trains a teacher of its own. Choose one.")
    for mitigation in stack.mitigations:
        if context.task.kind not in getattr(mitigation.plugin, "TASKS", (context.task.kind,)):
            raise UserError(f"the teacher '{mitigation.name}' is not meaningful for {context.task.kind} tasks.")
    # the student's dropout starts from where the baseline's does, whatever the teacher draws
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
        teacher = context.build(model) if model else context.build()
        _check(teacher, module, context, model)
        settings = context.settings
        if model:
            task, parts = context.task, [(m.name, m.plugin) for m in stack.mitigations]
            rate, _ = learning_rate(task.name, task.kind, model, parts)
            settings = settings.model_copy(update={"learning_rate": rate})
        fine_tune(teacher, stack, dataclasses.replace(context, settings=settings))
    teacher.module.requires_grad_(False)
    context.passes.watch(teacher.module)
    # in a list, so that it is no part of the student: not trained, not counted, not saved, not set to training mode
    vars(module)[KEY] = [teacher.module.eval()]
    return module


def logits(state: State, batch: Batch) -> torch.Tensor:
    """The teacher's float32 logits for the batch's pieces, without gradients; embeddings of the student's are not
    looked at."""
    if KEY not in state.memory:
        state.memory[KEY] = next(vars(part)[KEY][0] for part in state.module.modules() if KEY in vars(part))
    with torch.no_grad():
        return state.memory[KEY](input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits.float()


def dismiss(module: torch.nn.Module) -> torch.nn.Module:
    """The student without its teacher."""
    for part in module.modules():
        vars(part).pop(KEY, None)
    return module


def _check(teacher: Classifier, module: torch.nn.Module, context: Context, model: str) -> None:
    if teacher.tokenizer.get_vocab() != context.tokenizer.get_vocab():
        raise UserError(
            f"the teacher '{model}' has another vocabulary than the student, so they cannot read the same pieces. "
            "Choose an encoder with the student's tokenizer, or leave teacher_model out."
        )
    longest = context.settings.max_length
    longest = min(longest, getattr(module.config, "max_position_embeddings", longest))
    if teacher.max_length < longest:
        raise UserError(
            f"the teacher '{model}' reads {teacher.max_length} pieces of a text, the student {longest}. "
            f"Set max_length to at most {teacher.max_length}, or choose another teacher_model."
        )
