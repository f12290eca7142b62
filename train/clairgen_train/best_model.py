"""What a run does by its held-out pairs: stop early, keep the best model, and warn where chosen answers become less likely."""

from pathlib import Path

from accelerate.utils import broadcast_object_list
from transformers import TrainerControl, TrainerState

from clairgen.errors import RunStoppedError
from clairgen_train.metrics_log import say
from clairgen_train.run_folder import RunFolder
from clairgen_train.settings import Objective, TrainingSettings
from clairgen_train.trajectories import final_metrics, mean_margins

LEAST_FALL_NATS = 0.5
"""The mean fall of the chosen answers' log-likelihood that is worth a warning, if it is also beyond two standard errors."""


class HeldOutWatch:
    """Decides after each measurement; all ranks decide alike, by the trajectories of the first.

    Nothing is kept in memory: a continued run, whose trajectories end at its checkpoint, decides as the first one did.
    """

    def __init__(self, folder: RunFolder, settings: TrainingSettings, *, is_main: bool) -> None:
        self._folder, self._settings, self._is_main = folder, settings, is_main
        self._has_warned = False

    def measured(self, state: TrainerState, control: TrainerControl) -> None:
        """Save a checkpoint of the best model so far, or stop, as the settings say; called on every rank."""
        if self._is_main:
            self._warn(state.global_step)
        best, stale = self._best(state.global_step)
        if self._settings.keep_best and best is not None:
            state.best_model_checkpoint = str(self._checkpoint(best))  # which transformers does not delete
            control.should_save = control.should_save or best == state.global_step
        if self._is_over(stale) and state.global_step < state.max_steps:
            control.should_training_stop = True
            if self._is_main:
                say(
                    f"stopping early at step {state.global_step:,}: the held-out margin was highest "
                    f"{'at the start' if best is None else f'at step {best:,}'}, {stale} measurements ago"
                )

    def has_stopped(self, step: int) -> bool:
        """Whether the run stopped early at this step, of which it has a checkpoint."""
        return self._is_over(self._best(step)[1])

    def best_checkpoint(self, last: int) -> tuple[int, Path] | None:
        """The step and the checkpoint of the best model up to step `last`; None where the last one is kept.

        Raises RunStoppedError if it is no longer there.
        """
        best = self._best(last)[0] if self._settings.keep_best else None
        if best is None:
            return None
        if not self._checkpoint(best).is_dir():
            raise RunStoppedError(
                f"the checkpoint of the best model, {self._checkpoint(best)}, is no longer there; train with keep_best in "
                "another folder"
            )
        return best, self._checkpoint(best)

    def _best(self, step: int) -> tuple[int | None, int]:
        """The step after the start with the highest mean margin, and how many measurements came after the highest one of all.

        The untrained model has a margin of 0 and can be the best, but there is no checkpoint of it.
        """
        found: list[tuple[int | None, int]] = [(None, 0)]
        if not (self._settings.keep_best or self._settings.early_stopping):
            return found[0]
        if self._is_main:
            per_token = self._settings.objective is Objective.DPO_NORM
            margins = mean_margins(self._folder.trajectories, self._settings.beta, per_token=per_token)
            steps = [each for each in sorted(margins) if each <= step]
            trained = [each for each in steps if each]
            highest = max(steps, key=lambda each: margins[each], default=0)
            best = max(trained, key=lambda each: margins[each], default=None)
            found = [(best, len([each for each in steps if each > highest]))]
        broadcast_object_list(found, from_process=0)
        return found[0]

    def _is_over(self, stale: int) -> bool:
        patience = self._settings.early_stopping
        return patience is not None and stale >= patience

    def _checkpoint(self, step: int) -> Path:
        return self._folder.path / f"checkpoint-{step}"

    def _warn(self, step: int) -> None:
        """Warn once, where the objective does not want chosen answers less likely and they clearly are."""
        if self._has_warned or not step or self._settings.objective is Objective.APO_DOWN:
            return
        change = final_metrics(self._folder.trajectories, self._settings.beta)["chosen_change"]
        assert isinstance(change, dict)  # noqa: S101 - for mypy
        mean, error = change["mean"], change["se"]
        if error is not None and mean < -LEAST_FALL_NATS and mean + 2 * error < 0:
            self._has_warned = True
            say(
                f"warning: at step {step:,} held-out chosen answers are less likely than at the start, by {-mean:.3g} ± "
                f"{error:.2g} nats each (more than {LEAST_FALL_NATS}, and beyond two standard errors); a lower learning rate or "
                "an earlier checkpoint may be better"
            )
