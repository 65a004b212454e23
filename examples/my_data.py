"""Your own questions: a file of JSON lines with pictures beside it becomes a task, and a contact sheet to look at.

`python examples/my_data.py FOLDER` writes a small data set to FOLDER and reads it back. To run an experiment on it:

    diptych run accuracy --model organism/qwen2vl --task folder --set path=FOLDER/dots.jsonl
"""

import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw

import diptych
from diptych.contact_sheet import write_sheet


def write_data(folder: Path) -> Path:
    """Rows of dots as pictures, and one line per question: the same data as text and as image, one query, one answer."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(60):
        count, colour = 1 + number % 4, ("red", "blue", "green")[number // 4 % 3]
        picture = Image.new("RGB", (224, 224), "white")
        pen = ImageDraw.Draw(picture)
        for place in range(count):
            left, top = 20 + 50 * place, 20 + 3 * number
            pen.ellipse((left, top, left + 30, top + 30), fill=colour)
        picture.save(folder / f"{number}.png")
        words = " ".join([colour, "circle"] * count)
        query = "How many circles are there? Answer with a number."
        rows.append({"image": f"{number}.png", "text": words, "query": query, "answer": count, "group": colour})
    path = folder / "dots.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def main(folder: Path) -> None:
    """Write the data, read it as a task, and draw the contact sheet."""
    task = diptych.make_task("folder", path=write_data(folder))
    print(f"{task.name}: {len(task.items)} items, answers {', '.join(task.answers)}, digest {task.digest()}")
    for path in write_sheet(task, folder / "sheet", n=6):
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
