"""What the report says about the task `reconstruction` and about the training that led to it."""

from collections.abc import Sequence

from ugf_jax.data.image import ImageRejected
from ugf_jax.data.index import Dataset
from ugf_jax.evaluation import codecs
from ugf_jax.evaluation.figures import COLORS, Line, plot_bars, plot_lines
from ugf_jax.evaluation.gallery import RESIDUAL_GAIN, Choice, Tile, choose, encode_pictures, residual
from ugf_jax.evaluation.history import Curve, thin
from ugf_jax.evaluation.metrics import Estimate
from ugf_jax.evaluation.reconstruction import BatchResult, ReconstructionSettings, plan, read_batch, run_batch
from ugf_jax.evaluation.report import Card, Exhibit, Plot, Section, Table
from ugf_jax.evaluation.sample import Sample, Tokenizer
from ugf_jax.evaluation.shapes import ASPECTS
from ugf_jax.evaluation.summary import Variants

LABELS = {
    "master": "master codes alone",
    "full": "master + auxiliary codes",
    "jpeg": "JPEG, same bytes",
    "jpeg_resized": "JPEG, may be shrunk first",
    "webp": "WebP, same bytes",
    "webp_resized": "WebP, may be shrunk first",
}
History = dict[tuple[str, str], Curve]


def headline_section(results: dict[str, Variants], codec_names: Sequence[str]) -> Section:
    """Headline figures and the comparison with image files."""
    overall = results["reconstruction"]
    full, master = overall["full"], overall["master"]
    rejected = round(overall["images"]["rejected"].value * overall["images"]["rejected"].n)
    bits, tokens = full["bits_per_pixel"].value, master["tokens"].value
    cards = [
        _card("PSNR, master + auxiliary", full["psnr"], 2, "dB", "mean of images at native resolution"),
        _card("PSNR, master alone", master["psnr"], 2, "dB", f"from {tokens:,.0f} codes an image, whatever its size"),
        _card("Gain by auxiliary codes", full["psnr_gain"], 2, "dB", "mean of the differences image by image"),
        _card("SSIM, master + auxiliary", full["ssim"], 3, "", f"master alone {master['ssim'].value:.3f}"),
        Card("Bits a pixel", f"{bits:.3f}", "", f"master alone {master['bits_per_pixel'].value:.3f}"),
        Card("Images", f"{full['psnr'].n:,}", "", f"{rejected} could not be read" if rejected else "all could be read"),
    ]
    return Section(
        "Reconstruction of held-out images",
        "± is one standard error of the mean over images. PSNR and SSIM are taken at native resolution, over all channels.",
        cards,
        tables=[comparison_table(overall, codec_names)],
    )


def detail_section(results: dict[str, Variants]) -> Section:
    """Rate and distortion, figures by shape, codebooks."""
    tables = [shape_table(results["reconstruction_by_shape"]), codebook_table(results["reconstruction"])]
    return Section("Figures in detail", plots=result_plots(results), tables=tables)


def _card(label: str, estimate: Estimate, digits: int, unit: str, remark: str) -> Card:
    value, _, error = with_error(estimate, digits, unit).partition(" ")
    return Card(label, value, error, remark)


def comparison_table(overall: Variants, codec_names: Sequence[str]) -> Table:
    """Quality and size of every variant."""
    names = ["master", "full", *(n for codec in codec_names for n in (codec, f"{codec}_resized"))]
    rows: list[tuple[str, ...]] = []
    for name in names:
        v = overall[name]
        within = f"{v['within_budget'].value:.0%}" if "within_budget" in v else "–"
        tokens = f"{v['tokens'].value:,.0f}" if "tokens" in v else "–"
        size = (f"{v['bytes'].value:,.0f}", f"{v['bits_per_pixel'].value:.3f}", tokens, within)
        rows.append((LABELS[name], with_error(v["psnr"], 2), with_error(v["ssim"], 4), *size))
    return Table(
        "Against image files of the same size",
        ("", "PSNR, dB", "SSIM", "bytes an image", "bits a pixel", "tokens", "fit the budget"),
        rows,
        "The budget of an image file is what its master and auxiliary codes take, without any entropy coding. A file includes "
        "its headers. Where even quality 1 exceeds the budget, that file is counted at its true size.",
    )


def codebook_table(overall: Variants) -> Table:
    """How much of each codebook is in use."""
    rows: list[tuple[str, ...]] = []
    for name in ("master", "auxiliary"):
        v = overall[f"codebook_{name}"]
        counted = f"{v['usage'].n:,}"
        rows.append((name, f"{v['codes'].value:,.0f}", counted, f"{v['usage'].value:.1%}", f"{v['perplexity'].value:,.1f}"))
    note = "Perplexity: the number of equally frequent codes with the same entropy."
    return Table("Codebooks", ("", "codes", "codes counted", "used", "perplexity"), rows, note)


def shape_table(by_shape: Variants) -> Table:
    """Quality by aspect ratio and by scale."""
    rows: list[tuple[str, ...]] = []
    for name in _shape_names(by_shape):
        master, full = by_shape[f"master/{name}"], by_shape[f"full/{name}"]
        label = f"about {name[1:]}² pixels" if name.startswith("@") else name
        figures = (with_error(master["psnr"], 2), with_error(full["psnr"], 2), with_error(full["ssim"], 3))
        rows.append((label, f"{full['psnr'].n:,}", *figures))
    columns = ("width : height, or scale", "images", "PSNR master", "PSNR full", "SSIM full")
    return Table("By shape", columns, rows, "An image counts once by its nearest aspect ratio and once by its nearest scale.")


def _shape_names(by_shape: Variants) -> list[str]:
    """Aspect ratios from wide to tall, then scales from small to large."""
    names = {key.split("/")[1] for key in by_shape}
    scales = sorted((n for n in names if n.startswith("@")), key=lambda n: int(n[1:]))
    return [a for a in ASPECTS if a in names] + scales


def result_plots(results: dict[str, Variants]) -> list[Plot]:
    """Rate and distortion, where it was measured, and PSNR by shape."""
    plots = []
    rates = results["reconstruction_by_rate"]
    if rates:
        points = sorted(rates.values(), key=lambda v: v["auxiliary_tokens"].value)
        n = points[0]["psnr"].n
        for metric, label in (("psnr", "PSNR in dB"), ("ssim", "SSIM")):
            line = Line(
                "master + auxiliary",
                [p["auxiliary_tokens"].value for p in points],
                [p[metric].value for p in points],
                COLORS["full"],
                [p[metric].stderr or 0.0 for p in points],
                markers=True,
            )
            caption = f"Positions with the most residual energy are kept; none on the left, all on the right. {n} images."
            svg = plot_lines([line], "auxiliary positions kept, mean of images", label)
            plots.append(Plot(f"Rate and distortion: {metric.upper()}", svg, caption))
    by_shape = results["reconstruction_by_shape"]
    for title, kind in (("PSNR by aspect ratio", False), ("PSNR by scale", True)):
        names = [n for n in _shape_names(by_shape) if n.startswith("@") == kind]
        series = {}
        for variant in ("master", "full"):
            chosen = [by_shape[f"{variant}/{n}"]["psnr"] for n in names]
            series[variant] = ([c.value for c in chosen], [c.stderr or 0.0 for c in chosen])
        svg = plot_bars([n.replace("@", "") for n in names], series, "PSNR in dB")
        caption = "Side of the square with as many pixels." if kind else "Width : height. Bars show one standard error."
        plots.append(Plot(title, svg, caption))
    return plots


def training_section(history: History) -> Section | None:
    """The curves of the run, those of them that were logged; None if there are none."""

    def lines(prefix: str, kind: str, markers: bool) -> list[Line]:
        found = []
        for part in ("master", "auxiliary", "full"):
            if (kind, f"{prefix}/{part}") in history:
                found.append(Line(part, *thin(history[kind, f"{prefix}/{part}"]), COLORS[part], markers=markers))
        return found

    plots = []
    for title, prefix, kind, label, caption in (
        ("PSNR on validation images", "psnr", "validation", "PSNR in dB", "Images fitted to the training buckets."),
        ("Loss", "loss", "train", "loss", "Weighted sum of the reconstruction terms, on training batches."),
        ("Codebook usage", "usage", "train", "share of codes used", "Between two log lines of training."),
        ("Codebook perplexity", "perplexity", "train", "perplexity", "Between two log lines of training."),
    ):
        found = lines(prefix, kind, kind == "validation")
        if found:
            svg = plot_lines(found, "step", label, logarithmic=prefix == "loss")
            plots.append(Plot(title, svg, caption))
    return Section("Training", plots=plots) if plots else None


def gallery_section(
    tokenizer: Tokenizer, dataset: Dataset, settings: ReconstructionSettings, samples: Sequence[Sample]
) -> Section | None:
    """Pictures of images chosen by rule; None if no image could be read. Runs the tokenizer once more on their batches."""
    choices = choose(samples)
    wanted = {choice.row for choice in choices}
    tiles: dict[int, list[Tile]] = {}
    for batch in plan(tokenizer, dataset, settings)[0]:
        if wanted.isdisjoint(batch.rows):
            continue
        result = run_batch(tokenizer, batch, read_batch(dataset, batch))
        for choice in choices:
            if choice.row in batch.rows:
                tiles[choice.row] = _tiles(result, batch.rows.index(choice.row), choice, settings.codecs)
    if not choices:
        return None
    pictures = encode_pictures([tiles[choice.row] for choice in choices])
    exhibits = [
        Exhibit(c.sample["aspect"], f"{c.reason} · {c.sample['key']}", shown)
        for c, shown in zip(choices, pictures, strict=True)
    ]
    note = (
        "For each aspect ratio the image whose PSNR is the median of its kind, then the best, the median and the worst of all. "
        f"Residuals are shown {RESIDUAL_GAIN:g} times as strong around gray. Pictures are stored in this page as WebP, so the "
        "finest errors are those of the page."
    )
    return Section("Pictures", gallery_note=note, exhibits=exhibits)


def _tiles(result: BatchResult, n: int, choice: Choice, codec_names: Sequence[str]) -> list[Tile]:
    image = result.images[n]
    if isinstance(image, ImageRejected):  # it was readable a moment ago
        raise image
    height, width, _ = image.shape
    master, full = result.master[n, :height, :width], result.full[n, :height, :width]
    variants = choice.sample["variants"]

    def note(name: str) -> str:
        return f"{variants[name]['psnr']:.1f} dB, {variants[name]['bytes']:,.0f} bytes"

    tiles = [
        Tile("original", image, f"{width} × {height} pixels"),
        Tile("master", master, note("master")),
        Tile("master + auxiliary", full, note("full")),
        Tile("residual of the master", residual(image, master), "what the auxiliary codes are for"),
        Tile("what remains", residual(image, full), "after master + auxiliary"),
    ]
    if codec_names:
        codec = codec_names[-1]
        budget = int(variants["full"]["bytes"])
        file = codecs.best_within(image, codecs.code_within(image, budget, codec), budget, codec)
        tiles.append(Tile(LABELS[codec], file.image, note(f"{codec}_resized")))
    return tiles


def with_error(estimate: Estimate, digits: int, unit: str = "") -> str:
    """`20.52 ± 0.31 dB`."""
    error = "" if estimate.stderr is None else f" ± {estimate.stderr:.{digits}f}"
    return f"{estimate.value:.{digits}f}{error}" + (f" {unit}" if unit else "")


def summary_line(results: dict[str, Variants]) -> str:
    """The figures that matter, in one line for the terminal."""
    overall = results["reconstruction"]
    parts = [f"{label} {with_error(overall[name]['psnr'], 2)} dB" for name, label in (("master", "master"), ("full", "full"))]
    parts += [f"{LABELS[name]} {overall[name]['psnr'].value:.2f} dB" for name in codecs.ENCODERS if name in overall]
    return f"PSNR of {overall['full']['psnr'].n} images: " + ", ".join(parts)
