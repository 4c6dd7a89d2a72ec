"""The ``explorer`` command."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from explorer import arguments


def parser() -> argparse.ArgumentParser:
    """The command line: one sub-command for each thing a person does."""
    import explorer

    top = argparse.ArgumentParser(prog="explorer", description=(explorer.__doc__ or "").split("\n\n")[0])
    top.add_argument("--version", action="version", version=f"explorer {explorer.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_survey_commands, _study_commands, _model_commands):
        add(commands)
    serve = commands.add_parser("serve", help="the dashboard")
    serve.add_argument("survey", nargs="+", help="folders of surveys, or cards' names")
    _serving(serve)
    serve.set_defaults(run=_serve)
    return top


def _survey_commands(commands: Any) -> None:
    """What makes a survey."""
    demo = commands.add_parser("demo", help="the simulated survey, prepared and served")
    demo.add_argument("-n", type=arguments.some, default=5000, help="objects to simulate the first time (default 5000)")
    demo.add_argument("--seed", type=arguments.seed, default=0, help="seed of the simulation (default 0)")
    _serving(demo)
    demo.set_defaults(run=_demo)

    get = commands.add_parser("get", help="fetch a published survey described by a card")
    get.add_argument("card", nargs="?", help="name of a card; without one, the cards are listed")
    get.add_argument("--to", type=Path, help="folder for the files (default: the user's data folder)")
    get.set_defaults(run=_get)

    ingest = commands.add_parser("ingest", help="FITS, PNG, JPEG, Parquet, HDF5… into a survey")
    ingest.add_argument("source", nargs="+", type=Path, help="files or folders")
    ingest.add_argument("dest", type=Path, help="folder of the survey")
    ingest.add_argument("--reader", help="use this reader instead of the one that recognises each file")
    ingest.set_defaults(run=_ingest)

    prepare = commands.add_parser("prepare", help="embed, score and lay out (goes on where it stopped)")
    prepare.add_argument("survey", help="folder of a survey, or a card's name")
    prepare.add_argument("--encoders", type=arguments.names, default=["pca"], help="comma-separated (default pca)")
    prepare.add_argument(
        "--scorers",
        type=arguments.names,
        default=["isolation-forest", "knn"],
        help="comma-separated (default isolation-forest,knn)",
    )
    prepare.add_argument("--layouts", type=arguments.names, default=["umap"], help="comma-separated (default umap)")
    prepare.add_argument("--seed", type=arguments.seed, default=0)
    prepare.add_argument(
        "--stability",
        type=arguments.runs,
        nargs="?",
        const=8,
        default=0,
        metavar="RUNS",
        help="then make every score again, 8 times unless told, and store between which places each row stands",
    )
    prepare.add_argument(
        "--mismatch",
        action="store_true",
        help="then compare image with spectrum: mismatches, also in units of physics, and fusions of rankings",
    )
    prepare.set_defaults(run=_prepare)


def _study_commands(commands: Any) -> None:
    """What compares and judges."""
    report = commands.add_parser("report", help="the study of paper P0 as tables, figures and one page")
    report.add_argument("survey", help="folder of a survey, or a card's name")
    report.add_argument("--out", type=Path, help="folder (default: report in the survey's folder)")
    report.add_argument(
        "--encoders", type=arguments.names, default=[], help="comma-separated; default: the spaces there are"
    )
    report.add_argument("--scorers", type=arguments.names, help="comma-separated (default: all five; the first leads)")
    report.add_argument(
        "--hosts", type=arguments.some, default=100, help="objects that each oddity is put into (default 100)"
    )
    minutes = arguments.number(0, "0 minutes or more")
    report.add_argument("--minutes", type=minutes, default=20, help="allowed for what is repeated (default 20)")
    report.add_argument("--seed", type=arguments.seed, default=0)
    report.set_defaults(run=_report)

    align = commands.add_parser("align", help="bring two spaces into one by contrastive learning")
    align.add_argument("survey", help="folder of a survey, or a card's name")
    align.add_argument("a", help="a space such as ppad/events, or a modality")
    align.add_argument("b", help="the other one; captions: what explorer caption wrote")
    align.add_argument(
        "--form",
        choices=["towers", "shared", "projectors"],
        help="of P3, of P2 or of P4 (default: projectors for captions, else towers)",
    )
    gamma = arguments.number(0, "a weight is 0 or more")
    align.add_argument("--gamma", type=gamma, default=0.0, help="weight of the distance-preserving term (P2: 0.3)")
    align.add_argument("--epochs", type=arguments.some, default=60)
    align.add_argument("--exclude", help="a file of ids, or a column that marks them: objects to keep out of training")
    align.add_argument(
        "--texts",
        choices=["auto", "endpoint", "minilm", "tfidf"],
        default="auto",
        help="what encodes captions (default: the endpoint if one is named, else minilm if it is here, else tfidf)",
    )
    align.add_argument("--endpoint", type=Path, help="TOML file with a table [embed]: the model that encodes captions")
    align.add_argument("--members", type=arguments.some, default=1, help="networks of the ensemble (default 1)")
    align.add_argument("--tune", action="store_true", help="tune the temperature on the calibration split")
    align.add_argument("--search", action="store_true", help="grid search on the validation split")
    align.add_argument("--cutoff", type=int, help="train on what was written about up to this year, test on the rest")
    align.add_argument("--name", default="aligned", help="encoder name of the spaces that are stored")
    align.add_argument("--seed", type=arguments.seed, default=0)
    align.set_defaults(run=_align)

    study = commands.add_parser(
        "study",
        help="a paper's tables on a survey, beside its published figures",
        description="Prints a paper's tables on a survey beside its published figures, then which of its claims hold. "
        "spectra: at most 40 minutes on two cores with its defaults; both go on where they were stopped.",
    )
    study.add_argument(
        "what", choices=["spectra", "xray"], help="spectra: votes (P1); xray: sources and papers (P2, P3)"
    )
    study.add_argument("survey", nargs="?", help="folder of a survey, or a card's name (default: one is simulated)")
    study.add_argument(
        "--spaces", type=arguments.names, default=[], help="comma-separated (default: all; xray chooses on validation)"
    )
    study.add_argument(
        "--check", help="xray: a second survey, judged with what was chosen on the first (default: one is simulated)"
    )
    study.add_argument("--no-check", action="store_true", help="xray: the first survey alone")
    study.add_argument(
        "-n", type=arguments.some, help="objects to simulate where no survey is named (8000 spectra, 3000 sources)"
    )
    study.add_argument("--seeds", type=arguments.some, help="splits drawn (default 5 for spectra, 3 for xray)")
    study.add_argument(
        "--epochs",
        type=arguments.whole(0, "0 or more"),
        help="of the networks (6 for spectra, where 0 leaves them out; 60 for xray)",
    )
    study.add_argument(
        "--real",
        type=Path,
        nargs="+",
        default=[],
        help="spectra: files or folders of quasars, to retrieve redshifts of",
    )
    study.add_argument("--to", type=Path, help="folder for the tables as CSV")
    study.set_defaults(run=_study)


def _model_commands(commands: Any) -> None:
    """What writes and what learns."""
    caption = commands.add_parser("caption", help="write words for objects, to search by (goes on where it stopped)")
    caption.add_argument("survey", help="folder of a survey, or a card's name")
    caption.add_argument(
        "--endpoint",
        type=Path,
        help="TOML file with tables [chat], [embed] or both; without [chat], measured shapes are told",
    )
    caption.set_defaults(run=_caption)

    train = commands.add_parser("train", help="train an encoder on a survey (goes on where it stopped)")
    train.add_argument("encoder", help="name of an encoder that can be trained, such as astroclip")
    train.add_argument("survey", help="folder of a survey, or a card's name")
    train.add_argument("--steps", type=arguments.some, help="steps instead of the encoder's own")
    train.add_argument("--batch", type=arguments.some, help="objects a step instead of the encoder's own")
    train.add_argument("--seed", type=arguments.seed, default=0)
    train.add_argument("--anew", action="store_true", help="begin with random weights, not the shipped ones")
    train.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="go on from a stopped run (default)"
    )
    train.set_defaults(run=_train)


def _serving(command: argparse.ArgumentParser) -> None:
    command.add_argument("--port", type=arguments.port, default=5006, help="port (default 5006; 0 takes a free one)")
    command.add_argument("--address", default="localhost", help="address to listen on (default localhost)")
    command.add_argument("--no-show", action="store_true", help="do not open a browser")


DEMO = ("pca", "astropt")
"""Encoders of the demonstration: the first picture comes from the one that needs no network."""


def _demo(options: argparse.Namespace) -> int:
    from explorer.serve import free_port
    from explorer.survey.locate import surveys_dir

    started = time.monotonic()
    if options.port:
        free_port(options.address, options.port)  # told before anything is simulated
    path = surveys_dir() / "simulated"
    first = _make_demo(path, options)
    print(f"first space ready after {time.monotonic() - started:.1f} s", flush=True)
    rest = None
    if first:
        command = [sys.executable, "-m", "explorer.cli", "prepare", str(path), "--encoders", ",".join(DEMO)]
        rest = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        print("the other spaces fill in while you look", flush=True)
    try:
        return _run_server([str(path)], options, started)
    finally:
        if rest is not None and rest.poll() is None:
            rest.terminate()


def _make_demo(path: Path, options: argparse.Namespace) -> bool:
    """Simulate and prepare the first space where that is still to be done; True if steps remain after it."""
    from explorer.pipeline.prepare import plan, prepare_steps, todo
    from explorer.survey.progress import bar
    from explorer.survey.simulate import write
    from explorer.survey.store import Survey

    have = len(Survey.open(path)) if (path / "survey.toml").exists() else 0
    if have < options.n:
        print(f"simulating {options.n} objects in {path}", flush=True)
        write("euclid-desi", path, options.n, seed=options.seed, progress=bar())
    survey = Survey.open(path)
    waiting = todo(survey, plan(survey, DEMO))
    if waiting and not any("umap" in survey.layouts(space) for space in survey.spaces):
        first = [step for step in waiting if step.space == waiting[0].space]
        prepare_steps(survey, first, bar())
    return bool(todo(survey, plan(survey, DEMO)))


def _get(options: argparse.Namespace) -> int:
    from explorer.survey import cards
    from explorer.survey.get import get

    if options.card is None:
        for name in cards.names():
            print(f"{name:<28} {cards.load(name).title}")
        return 0
    print(get(options.card, options.to))
    return 0


def _ingest(options: argparse.Namespace) -> int:
    from explorer.survey.ingest import ingest

    report = ingest(options.source, options.dest, reader=options.reader)
    print(report)
    return 0 if report.rows else 1


def _prepare(options: argparse.Namespace) -> int:
    import explorer
    from explorer.pipeline.prepare import prepare
    from explorer.survey.progress import bar

    survey = explorer.open(options.survey)
    done = prepare(survey, options.encoders, options.scorers, options.layouts, bar(), options.seed)
    print(f"{len(done)} steps done; {survey!r}")
    if options.mismatch:
        from explorer.pipeline import joint

        made = [name for encoder in joint.encoders_with_both(survey) for name in joint.add(survey, encoder)]
        print(f"{len(made)} mismatches and fusions")
    if options.stability:
        from explorer.pipeline.stability import measure_all

        measured = measure_all(survey, options.stability, seed=options.seed, progress=bar())
        print(f"{len(measured)} scores with rank intervals from {options.stability} runs")
    return 0


def _align(options: argparse.Namespace) -> int:
    import explorer
    from explorer.pipeline.align import align, captioned_options
    from explorer.pipeline.captioned import endpoints_for, rows_of_benchmark
    from explorer.survey.progress import bar

    survey = explorer.open(options.survey)
    form = options.form or ("projectors" if "captions" in (options.a, options.b) else "towers")
    chosen = {"form": form, "gamma": options.gamma, "epochs": options.epochs, "members": options.members}
    if form == "projectors":
        chosen |= captioned_options(options.a, options.b)
    more = {"tune": options.tune, "search": options.search, "cutoff": options.cutoff, "name": options.name}
    if options.exclude:
        more["exclude"] = rows_of_benchmark(survey, options.exclude)
    endpoint = endpoints_for(survey, options.endpoint).get("embed")
    more |= {"texts": options.texts, "endpoint": endpoint}
    made = align(survey, options.a, options.b, chosen, seed=options.seed, progress=bar(), **more)
    for part, told in made.figures.items():
        words = ", ".join(f"{k} {v:.3g}" for k, v in told.items() if k not in ("n", "mean_log_rank"))
        print(f"{part:<12} {told['n']:>6} pairs  {words}")
    print(f"stored {', '.join(made.spaces.values())}")
    return 0


def _study(options: argparse.Namespace) -> int:
    if options.what == "xray":
        from explorer.pipeline import study_xray

        n, seeds, epochs = options.n or 3000, options.seeds or 3, options.epochs or 60
        second = (options.check, options.no_check)
        return study_xray.run(options.survey, n, seeds, epochs, options.to, options.spaces, *second)
    from explorer.pipeline.study_spectra import run

    n, seeds, epochs = options.n or 8000, options.seeds or 5, 6 if options.epochs is None else options.epochs
    return run(options.survey, options.spaces, n, seeds, epochs, options.to, options.real)


def _report(options: argparse.Namespace) -> int:
    import explorer
    from explorer.pipeline.report import report
    from explorer.pipeline.report.run import SCORERS

    scorers, survey = options.scorers or SCORERS, explorer.open(options.survey)
    print(report(survey, options.out, scorers, options.encoders, options.seed, options.minutes, options.hosts))
    return 0


def _caption(options: argparse.Namespace) -> int:
    import explorer
    from explorer.pipeline.captioned import embed_captions, endpoints_for, spent
    from explorer.pipeline.words import write_captions
    from explorer.survey.progress import bar

    survey = explorer.open(options.survey)
    known = endpoints_for(survey, options.endpoint)
    failed = write_captions(survey, known.get("chat"), progress=bar())
    for name, why in list(failed.items())[:10]:
        print(f"{name}: {why}", file=sys.stderr)
    print(f"{len(failed)} without a caption" if failed else "every image has a caption")
    try:
        print(f"searched by {embed_captions(survey, endpoint=known.get('embed'), progress=bar())}")
    finally:
        print("\n".join(spent(known)), end="\n" if known else "")
    return 1 if failed else 0


def _train(options: argparse.Namespace) -> int:
    import explorer
    from explorer.pipeline.train import train_encoder

    survey = explorer.open(options.survey)
    told = {"steps": options.steps, "batch": options.batch, "seed": options.seed}
    files = train_encoder(survey, options.encoder, resume=options.resume, anew=options.anew, **told)
    print("\n".join(str(f) for f in files))
    print(f"explorer prepare {options.survey} --encoders {options.encoder} embeds with them")
    return 0


def _serve(options: argparse.Namespace) -> int:
    return _run_server(options.survey, options, time.monotonic())


def _run_server(surveys: Sequence[str], options: argparse.Namespace, started: float) -> int:
    import explorer
    from explorer.serve import serve

    opened = [explorer.open(name) for name in surveys]
    serve(opened, address=options.address, port=options.port, show=not options.no_show, started=started)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; an error that a person can mend is one line, without a traceback."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        if sys.flags.dev_mode:
            raise
        print(f"explorer {options.command}: {_told(error)}", file=sys.stderr)
        return 1


def _told(error: Exception) -> str:
    """The error in words; where a file may not be touched, what to do about it."""
    if isinstance(error, PermissionError) and error.filename:
        return f"{error.filename}: {error.strerror}. Ask for access to it, or work on a copy in a folder of your own"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
