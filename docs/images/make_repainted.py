"""Make ``repainted.jpg``: a portrait and what the local DashScope makes of it.

Run it in the repository's root: ``.venv/bin/python docs/images/make_repainted.py``.
"""

from __future__ import annotations

import io
import time
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from airflow_provider_wanx.dashscope.client import DashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL, REPAINT_SERVICE
from airflow_provider_wanx.dashscope.styles import WanxStyle
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.simulator.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PORTRAIT = ROOT / "tests" / "data" / "portraits" / "astronaut.png"
TARGET = Path(__file__).with_name("repainted.jpg")
STYLES = (
    WanxStyle.FUTURE_TECH,
    WanxStyle.PIXEL_WORLD,
    WanxStyle.HAND_DRAWN_WORLD,
    WanxStyle.CRAYON_WORLD,
    WanxStyle.FRIDGE_MAGNET_WORLD,
)
SIDE, CAPTION, GAP, COLUMNS = 384, 36, 12, 3


def repaint(client: DashScopeClient, style: WanxStyle, url: str) -> Image.Image:
    """Have the portrait painted in one style."""
    submission = client.submit_task(
        service=REPAINT_SERVICE, model=REPAINT_MODEL, input={"image_url": url, "style_index": style.number}
    )
    while not (task := client.get_task(submission.task_id)).status.is_terminal:
        time.sleep(0.05)
    with client.download(task.results[0].url) as (_, chunks):
        return Image.open(io.BytesIO(b"".join(chunks)))


def compose(tiles: list[tuple[str, Image.Image]]) -> Image.Image:
    """Put the pictures into rows, each with its name below."""
    rows = -(-len(tiles) // COLUMNS)
    size = (COLUMNS * (SIDE + GAP) + GAP, rows * (SIDE + CAPTION + GAP) + GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for number, (name, picture) in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        left, top = GAP + column * (SIDE + GAP), GAP + row * (SIDE + CAPTION + GAP)
        sheet.paste(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, top))
        place = (left + SIDE / 2, top + SIDE + CAPTION / 2)
        draw.text(place, name, fill="black", anchor="mm", font=ImageFont.load_default(22))
    return sheet


def main() -> None:
    """Run a simulator, repaint, compose, save."""
    with (
        BackgroundSimulator(settings=Settings(speed=100, submit_rate=0)) as simulator,
        DashScopeClient(ClientConfig(api_key=simulator.api_key, base_url=simulator.url)) as client,
    ):
        url = client.upload_file(filename=PORTRAIT.name, content=PORTRAIT.read_bytes(), model=REPAINT_MODEL)
        tiles: list[tuple[str, Image.Image]] = [("input", Image.open(PORTRAIT))]
        tiles += [(f"{style.number} {style.english}", repaint(client, style, url)) for style in STYLES]
    compose(tiles).save(TARGET, quality=82, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
