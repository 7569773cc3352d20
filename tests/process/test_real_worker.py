"""The real template, worker and steps, confined: the picture is the one made alone, byte for byte."""

import os
from pathlib import Path

import msgspec
import trio

from cgi_worker.alone import render
from cgi_worker.confine import make_ruleset
from cgi_worker.source import source_of
from cgi_worker.wire.facts import Source, decode_facts
from cgi_worker.wire.packets import Done, Failed, FromWorker, Identity, Lent, Todo
from cgi_worker.wire.recipe import parse_recipe, picture_recipe
from cgi_worker.wire.steps import Recipe
from cgi_worker.wire.talk import Talk
from cgi_worker.wire.view import Format, Size, View
from imgd.engine.forking import WorkerLink
from imgd.engine.segments import PAGE_BYTES, Segments
from imgd.engine.workers import TemplateSettings, open_template
from tests.frames.make import image_hdu, star_field, write, write_compressed
from tests.rig.crew import greet, words_of

FORMATS: tuple[Format, ...] = ("jpeg", "png", "webp")


async def carry_out(link: WorkerLink, talk: Talk, recipe: Recipe, path: Path) -> list[bytes] | Failed:
    """Have one recipe done; tell what each of its buffers holds, or why it failed."""
    segments = Segments()
    for number, buffer in enumerate(recipe.buffers):
        segments.create(number, -(-buffer.size_bytes // PAGE_BYTES) * PAGE_BYTES)
    path_fd = os.open(path, os.O_PATH)
    source = msgspec.json.encode(source_of(path_fd)).decode()
    lent = tuple(Lent(buffer, number, True) for number, buffer in enumerate(recipe.buffers))
    todo = Todo(1, recipe.stages, lent, source, True, False, 2)
    talk.give(todo)
    link.send(todo, [path_fd, *(segments.writer_fd(number) for number in range(len(lent)))])
    os.close(path_fd)
    used: dict[int, int] = {}
    failed: Failed | None = None
    while not talk.idle:
        message: FromWorker | None = await link.receive()
        assert message is not None, "the worker left"
        talk.hear(message)
        failed = message if isinstance(message, Failed) else failed
        if isinstance(message, Done):
            used |= dict(zip(recipe.stages[message.stage].outputs, message.used_bytes, strict=True))
    octets = [segments.read(number, 0, used.get(number, 0)) for number in range(len(lent))]
    segments.close()
    return failed or octets


async def test_each_format_of_plain_and_compressed_frames_is_made_as_alone(tmp_path: Path) -> None:
    roots = tmp_path / "roots"
    roots.mkdir()
    frames = [
        write(roots / "plain.fits", image_hdu(star_field(300, 400))),
        write_compressed(roots / "packed.fits", star_field(200, 300)),
    ]
    elsewhere = write(tmp_path / "elsewhere.fits", image_hdu(star_field(30, 40)))
    settings = TemplateSettings(readable=(str(roots),), memory_bytes=1 << 30)
    identity = Identity(65534, 65534, ()) if os.geteuid() == 0 else Identity()
    with trio.fail_after(120):  # The first start compiles.
        async with open_template(settings) as template:
            assert len(os.listdir(f"/proc/{template.pid}/task")) == 1
            link = await template.fork(1, identity)
            talk = await greet(link)
            for path in frames:
                parsed = await carry_out(link, talk, parse_recipe(source_at(path)), path)
                assert isinstance(parsed, list), parsed
                for format_ in FORMATS:
                    view = View("f", size=Size(150), format=format_)
                    recipe = picture_recipe(view, decode_facts(parsed[0]), source_at(path))
                    made = await carry_out(link, talk, recipe, path)
                    assert isinstance(made, list), made
                    assert made[recipe.result] == alone(path, view)
            no = await carry_out(link, talk, parse_recipe(source_at(elsewhere)), elsewhere)
            assert no == Failed(1, 0, "forbidden", "this file may not be read") or kernel_has_no_landlock()
            assert "memfd:imgd" not in words_of(link.pid, "maps")
            link.close()


def kernel_has_no_landlock() -> bool:
    ruleset_fd = make_ruleset(())
    if ruleset_fd >= 0:
        os.close(ruleset_fd)
    return ruleset_fd < 0


def source_at(path: Path) -> Source:
    path_fd = os.open(path, os.O_PATH)
    try:
        return source_of(path_fd)
    finally:
        os.close(path_fd)


def alone(path: Path, view: View) -> bytes:
    source_fd = os.open(path, os.O_RDONLY)
    try:
        return render(source_fd, view)[0]
    finally:
        os.close(source_fd)
