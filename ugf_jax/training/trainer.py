"""The one training program, for every stage. Read it from top to bottom: mesh → data → state → compile → loop."""

import concurrent.futures
import contextlib
import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
from etils import epath

from ugf_jax import config
from ugf_jax.errors import InputError, RetryError
from ugf_jax.json_files import write_json
from ugf_jax.training import sharding
from ugf_jax.training.checkpoints import Checkpointer
from ugf_jax.training.compiler import compiler_options
from ugf_jax.training.data_source import BatchLoader, DataSource
from ugf_jax.training.evaluator import Evaluator
from ugf_jax.training.frozen_groups import training_flops, without_frozen
from ugf_jax.training.goodput import Goodput
from ugf_jax.training.meter import Meter
from ugf_jax.training.metric_log import MetricLog
from ugf_jax.training.optimizer import STATE_AXES, make_optimizer, make_schedule
from ugf_jax.training.overview import parameter_overview
from ugf_jax.training.preemption import Preemption
from ugf_jax.training.settings import TrainSettings
from ugf_jax.training.stage import Stage
from ugf_jax.training.start import find_start
from ugf_jax.training.start_up import StartUp
from ugf_jax.training.state import TrainState, init_state, make_step
from ugf_jax.training.terms import check_terms
from ugf_jax.training.watchdog import Watchdog

LOOK_AT = 4  # batches in which every objective must be seen alive

Specs = dict[str, jax.ShapeDtypeStruct]
Init = Callable[[jax.Array, dict[str, jax.Array]], TrainState]


def train(
    settings: TrainSettings,
    stage: Stage,
    data: DataSource,
    workdir: epath.Path,
    allow_data_change: bool = False,
    start_up: StartUp | None = None,
) -> dict[str, Any] | None:
    """Trains until `settings.steps`, from wherever `workdir` stands, and returns a summary (None if all steps were done).

    Args:
      settings: the whole config.
      stage: what is trained.
      data: what it is trained on.
      workdir: receives `config.json`, `metrics.jsonl`, `samples/`, `checkpoints/`.
      allow_data_change: continue although the data are not those of the checkpoint.
      start_up: what has passed before this call, where that is of interest.

    Raises:
      InputError: the config, the data or a checkpoint does not fit; nothing has been computed then. Also when
        `settings.max_bad_steps` updates in a row were not finite.
      RetryError: a signal asked to stop; the state is saved and the same call continues.
    """
    with contextlib.ExitStack() as opened:  # whatever ends the run, a save under way is finished
        try:
            return _train(settings, stage, data, workdir, allow_data_change, start_up or StartUp(), opened)
        except RetryError:
            raise  # all processes stop together
        except BaseException:
            if jax.process_count() > 1:
                opened.pop_all()  # one process failed alone: a save is finished by all or by none, so waiting would be for ever
            raise


def _train(
    settings: TrainSettings,
    stage: Stage,
    data: DataSource,
    workdir: epath.Path,
    allow_data_change: bool,
    start_up: StartUp,
    opened: contextlib.ExitStack,
) -> dict[str, Any] | None:
    preemption = opened.enter_context(Preemption())
    first_process = jax.process_index() == 0
    watchdog = Watchdog(settings.watchdog, workdir, jax.process_index())
    clock = Goodput(workdir, write=first_process, watch=watchdog.section)
    watchdog.hung = lambda section: clock.stop(f"hung: {section}")
    opened.enter_context(watchdog)
    with clock.section("init"):
        mesh = sharding.make_mesh(settings.mesh)
        process = jax.process_index(), jax.process_count()
        loader = data.open(*process)
        specs = {bucket: batch_specs(loader, bucket, mesh) for bucket in loader.buckets}
        start_up.done("data")
        optimizer = make_optimizer(settings.optimizer, settings.steps * stage.updates)
        any_batch = min(specs.values(), key=lambda arrays: sum(a.size for a in arrays.values()))
        init = functools.partial(init_state, stage, optimizer, settings.optimizer.ema_decay > 0)
        abstract = abstract_state(init, any_batch, stage, settings, mesh)
        keep = settings.checkpoint
        checkpoints = opened.enter_context(Checkpointer(workdir / "checkpoints", keep.keep, keep.keep_every))
        start = find_start(settings, loader.identity, abstract, checkpoints, allow_data_change)
        state = start.state if start.state is not None else initial_state(init, any_batch, abstract, settings.seed)
        if start.params is not None:
            state = start_from(state, over(state.params, start.params), start.codebooks)
        elif start.state is None and stage.pretrained:
            state = start_from(state, stage.pretrained(abstract.params))
        step = start.step
        clock.resumed(step)
        if first_process:  # only now: a run that is refused must not change what the folder says of itself
            write_json(workdir / "config.json", config.to_json(settings))

    start_up.done("state")
    log = MetricLog(workdir, settings.steps, tensorboard=settings.tensorboard, quiet=not first_process)
    log.resume(step)
    if step >= settings.steps:
        log.note(f"complete: all {step} steps are done; a higher config.steps trains on")
        clock.stop("done", step)
        return None
    log.note(parameter_overview(state.params, max_lines=12))
    log.note(f"{start.why} · {mesh.devices.size} devices {dict(mesh.shape)} · {loader.summary()}")

    with jax.set_mesh(mesh), clock.section("compile"):
        learning = without_frozen(stage, settings.optimizer)
        if stage.advance:
            compiled, flops = dict.fromkeys(specs, stage.advance(optimizer)), dict.fromkeys(specs, 0.0)
        else:
            train_step = make_step(learning, optimizer, settings.optimizer.accumulate, settings.optimizer.ema_decay)
            compiled = compile_buckets(train_step, abstract, specs, log.note)
            flops = {b: training_flops(stage, settings.optimizer, *loss_arguments(abstract, s)) for b, s in specs.items()}
        if step == 0:
            check_terms(learning, state, first_batches(loader, specs, mesh) if stage.terms else [])
        evaluator = Evaluator(settings, stage, data.held_out(*process), mesh, log)

    start_up.done("compile")
    schedule = make_schedule(settings.optimizer, settings.steps * stage.updates)
    meter = Meter(settings, stage, data.count, log, clock, schedule, flops, workdir)

    def save() -> None:
        with clock.section("checkpoint"):
            meter.flush()  # raises rather than save after too many bad updates
            extras = {
                "config": config.to_json(settings),
                "data": loader.identity,
                "time": clock.summary(),
                "about": stage.about,
            }
            checkpoints.save(step, state, extras)
            clock.mark(step, saved=True)

    batches = opened.enter_context(contextlib.closing(loader.iterate(step)))
    while step < settings.steps:
        with clock.section("data"):
            batch = next(batches)
            arrays = sharding.to_global({name: batch.arrays[name] for name in specs[batch.bucket]}, mesh)
        with clock.section("step"):
            meter.begin()
            state, metrics = compiled[batch.bucket](state, arrays)  # returns at once; the device works on
            step += 1
            if step == start.step + 1:
                jax.block_until_ready(metrics)
                start_up.done("first step")
                clock.ready(step, start_up.parts)
                log.note(str(start_up))
            meter.push(step, batch, metrics)  # reads the metrics of the step before
        last = step == settings.steps
        if last or step % settings.evaluation.every == 0:
            with clock.section("evaluation"):
                meter.flush()
                evaluator.run(step, state)
        stop = preemption.requested(step)
        if last or stop or step % settings.checkpoint.every == 0:
            save()
        if stop and not last:
            checkpoints.wait()
            clock.stop("preempted", step)
            raise RetryError(f"asked to stop; step {step} is saved, and the same command continues from it")

    with clock.section("checkpoint"):
        checkpoints.wait()
    clock.stop("done", step)
    log.close()
    return {
        "steps": step,
        "skipped_updates": int(state.skipped),
        "train": meter.latest,
        "validation": evaluator.latest,
        "compiled_buckets": len(compiled),
        "goodput": clock.summary(),
    }


def batch_specs(loader: BatchLoader, bucket: Any, mesh: jax.sharding.Mesh) -> Specs:
    """Shapes and shardings of a global batch of this bucket."""
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    where = sharding.batch_sharding(mesh)
    specs = {}
    for name, (shape, dtype) in loader.specs(bucket).items():
        if shape[0] % shards:
            raise InputError(f"config.data: batch size {shape[0]} (batches of {bucket}) must be a multiple of {shards} devices")
        specs[name] = jax.ShapeDtypeStruct(shape, dtype, sharding=where)
    return specs


def first_batches(loader: BatchLoader, specs: dict[Any, Specs], mesh: jax.sharding.Mesh) -> list[Any]:
    """A few batches of the beginning, all of the same shapes as the first."""
    with contextlib.closing(loader.iterate()) as batches:
        first = list(itertools.islice(batches, LOOK_AT))
    same = [b for b in first if b.bucket == first[0].bucket]
    return [sharding.to_global({name: b.arrays[name] for name in specs[b.bucket]}, mesh) for b in same]


def abstract_state(init: Init, batch: Specs, stage: Stage, settings: TrainSettings, mesh: jax.sharding.Mesh) -> TrainState:
    """Shapes and shardings of the state, without computing any of it."""
    shapes = jax.eval_shape(lambda b: init(jax.random.key(0), _zeros(b)), batch)
    shardings = sharding.tree_shardings(shapes, (*stage.parameter_axes, *STATE_AXES), settings.mesh.rules, mesh)
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)


def initial_state(init: Init, batch: Specs, abstract: TrainState, seed: int) -> TrainState:
    """The state before the first step, created already sharded."""
    shardings = jax.tree.map(lambda x: x.sharding, abstract)
    return jax.jit(lambda key: init(key, _zeros(batch)), out_shardings=shardings)(jax.random.key(seed))


def over(fresh: Any, found: Any) -> Any:
    """A tree of parameters with those of another, which may hold fewer, in their places."""
    if not isinstance(fresh, Mapping):
        return found
    return {name: over(x, found[name]) if name in found else x for name, x in fresh.items()}


def start_from(state: TrainState, params: Any, codebooks: Mapping[str, Any] | None = None) -> TrainState:
    """The state with the parameters and codebooks of another run; the average starts there too."""
    ema = jax.tree.map(jax.numpy.copy, params) if state.ema else {}
    return state.replace(params=params, ema=ema, model_state={**state.model_state, **(codebooks or {})})


def compile_buckets(
    step: Callable[..., Any], abstract: TrainState, specs: dict[Any, Specs], note: Callable[[str], None]
) -> dict[Any, Callable[..., Any]]:
    """One executable a bucket, made before the loop so that no step waits for a compiler."""
    mesh = jax.sharding.get_mesh()
    # The state leaves a step as it came in, whatever the compiler would prefer; metrics go whole to every process.
    shardings = jax.tree.map(lambda x: x.sharding, abstract), sharding.replicated(mesh)
    jitted = jax.jit(step, donate_argnums=0, out_shardings=shardings)

    def compile_one(bucket: Any) -> Callable[..., Any]:
        with jax.set_mesh(mesh):  # the mesh in force belongs to a thread
            return jitted.lower(abstract, specs[bucket]).compile(compiler_options(mesh))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        made = dict(zip(specs, pool.map(compile_one, specs), strict=True))
    note(f"compiled {len(made)} buckets: " + ", ".join(str(b) for b in made))
    return made


def loss_arguments(abstract: TrainState, batch: Specs) -> tuple[Any, ...]:
    """Abstract arguments of `Stage.loss`."""
    return abstract.params, abstract.model_state, batch, jax.eval_shape(lambda: jax.random.key(0)), abstract.step


def _zeros(batch: Specs) -> dict[str, jax.Array]:
    return {k: jax.numpy.zeros(s.shape, s.dtype) for k, s in batch.items()}
