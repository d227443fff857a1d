from __future__ import annotations

import io
import re

import pytest
from PIL import Image, ImageOps

from tests.demo import PREFIX, DemoError, Picture, check, live_plan, portraits, stack_config
from tests.stack import LocalStack


def _encoded(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.convert("RGB").save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def portrait() -> Image.Image:
    with Image.open(portraits()[0]) as image:
        return image.convert("RGB")


@pytest.fixture
def original(portrait: Image.Image) -> Picture:
    return Picture(key=f"{PREFIX}one.png", body=_encoded(portrait, "PNG"))


def test_different_paintings_pass(portrait: Image.Image, original: Picture) -> None:
    paintings = [
        Picture(key="a.jpg", body=_encoded(ImageOps.posterize(ImageOps.invert(portrait), 2), "JPEG")),
        Picture(key="b.png", body=_encoded(ImageOps.solarize(portrait, 100), "PNG")),
    ]
    check(pictures=paintings, inputs=[original], expected=2)


def test_a_copy_of_the_input_in_another_size_and_format_is_found_out(
    portrait: Image.Image, original: Picture
) -> None:
    copy = Picture(key="a.jpg", body=_encoded(portrait.resize((1536, 1536)), "JPEG"))
    with pytest.raises(DemoError, match=re.escape("a.jpg and portraits/one.png show the same picture")):
        check(pictures=[copy], inputs=[original], expected=1)


def test_two_styles_that_look_alike_are_found_out(portrait: Image.Image, original: Picture) -> None:
    body = _encoded(ImageOps.invert(portrait), "JPEG")
    with pytest.raises(DemoError, match=re.escape("a.jpg and b.jpg show the same picture")):
        check(
            pictures=[Picture(key=key, body=body) for key in ("a.jpg", "b.jpg")],
            inputs=[original],
            expected=2,
        )


def test_a_missing_picture_is_found_out(original: Picture) -> None:
    with pytest.raises(DemoError, match="1 pictures were expected, 0 came"):
        check(pictures=[], inputs=[original], expected=1)


def test_a_picture_in_another_format_is_found_out(portrait: Image.Image, original: Picture) -> None:
    picture = Picture(key="a.gif", body=_encoded(ImageOps.invert(portrait), "GIF"))
    with pytest.raises(DemoError, match=re.escape("a.gif is neither JPEG nor PNG but GIF")):
        check(pictures=[picture], inputs=[original], expected=1)


def test_without_a_key_everything_stays_on_this_machine() -> None:
    config = stack_config(key=None)
    assert config.with_simulator
    assert config.connections == {}


def test_the_demos_connections_are_ones_that_the_ui_shows_and_can_test() -> None:
    config = stack_config(key=None)
    assert config.settings["AIRFLOW__CORE__TEST_CONNECTION"] == "Enabled"
    stack = LocalStack(config=config)
    assert stack.airflow.config.connections == {}
    assert stack.connections.keys() == {"aws_default", "dashscope_default"}
    # Its "Test" can fail: the local DashScope accepts this one key only.
    command = stack.simulator.process.command
    assert command[command.index("--api-key") + 1] == stack.connections["dashscope_default"]["password"]


def test_with_a_key_the_live_service_is_used_and_gets_no_address_of_this_machine() -> None:
    config = stack_config(key="sk-real")
    assert not config.with_simulator
    assert config.connections["dashscope_default"]["host"] == "https://dashscope.aliyuncs.com"
    assert config.connections["dashscope_default"]["password"] == "sk-real"
    assert {each.dag_id for each in live_plan()} == {"wanx_style_repaint"}
    assert len(live_plan()) == 2
    # The service reaches no bucket on this machine.
    assert stack_config(key="sk-1").connections["dashscope_default"]["extra"] == {"image_transfer": "upload"}
