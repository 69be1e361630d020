"""How right and how fast the `shapes` generator and checker are.

  python benchmarks/shapes.py [SCENES]

Prints the share of test scenes of mixed aspect ratios in which everything is found as it was drawn (every object's shape,
colour, size class and position, the count, all relations and the background), by size of picture and degradation; how often
a picture fulfils its own prompt and another one's; and times on one core. SCENES is 1000 unless told.
"""

import sys
import time
from collections.abc import Callable

import cv2
import numpy as np

from ugf_jax.data.shapes import agreement, draw, encode_png, example, find, picture_size, prompt_and_scene, satisfies, scene

Degrade = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """JPEG of quality 50 with halved colour resolution, and back."""
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation 8."""
    return np.clip(np.rint(image + rng.normal(0, 8, image.shape)), 0, 255).astype(np.uint8)


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur of standard deviation 1.5 pixels."""
    return cv2.GaussianBlur(image, (0, 0), 1.5)


DEGRADATIONS: dict[str, Degrade] = {
    "clean": lambda image, rng: image,
    "JPEG q50": jpeg,
    "noise 8": noise,
    "blur 1.5": blur,
    "all three": lambda image, rng: jpeg(noise(blur(image, rng), rng), rng),
}


def accuracy(side: int, degrade: Degrade, count: int) -> tuple[float, float]:
    """Share of scenes found exactly, and milliseconds of processor time to find one."""
    rng = np.random.default_rng(0)
    right, spent = 0, 0.0
    for i in range(count):
        true = scene(i, "test")
        image = degrade(draw(true, *picture_size(i, "test", side)), rng)
        start = time.thread_time()
        found = find(image)
        spent += time.thread_time() - start
        right += all(agreement(found.scene, true).values())
    return right / count, 1e3 * spent / count


def prompts(count: int) -> None:
    """Prints how often a picture fulfils its own prompt, and another one's, by attribute."""
    made = [prompt_and_scene(i) for i in range(count)]
    found = [find(draw(s, *picture_size(i))).scene for i, (_, _, s) in enumerate(made)]
    order = np.random.default_rng(0).permutation(count)
    for label, pairs in (("own prompt", range(count)), ("another's prompt", order)):
        judged = [satisfies(found[k], r) for k, (_, r, _) in zip(pairs, made, strict=True)]
        names = dict.fromkeys(name for j in judged for name in j)
        shares = {name: np.mean([j[name] for j in judged if name in j]) for name in names}
        print(f"{label}: all {np.mean([all(j.values()) for j in judged]):.3f}; ", end="")
        print(", ".join(f"{name} {share:.3f}" for name, share in shares.items()))


def milliseconds(make: Callable[[int], object], count: int) -> float:
    """Processor time of `make(i)` on one core."""
    start = time.thread_time()
    for i in range(count):
        make(i)
    return 1e3 * (time.thread_time() - start) / count


def main() -> None:
    """Prints the tables."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    cv2.setNumThreads(1)
    print("| longer side | " + " | ".join(DEGRADATIONS) + " | ms a picture |")
    print("|---" * (len(DEGRADATIONS) + 2) + "|")
    for side in (128, 192, 256, 384, 512, 640):
        results = [accuracy(side, degrade, count) for degrade in DEGRADATIONS.values()]
        print(f"| {side} | " + " | ".join(f"{100 * r:.1f} %" for r, _ in results) + f" | {results[0][1]:.1f} |", flush=True)
    prompts(count)
    scenes = [scene(i) for i in range(300)]
    drawing = milliseconds(lambda i: encode_png(draw(scenes[i], *picture_size(i))), 300)
    whole = milliseconds(example, 300)
    print(f"256 px, one core: {1e3 / drawing:.0f} drawings/s with PNG, {1e3 / whole:.0f} whole examples/s")


if __name__ == "__main__":
    main()
