"""A small transformer learns a nursery rhyme by heart, letter by letter, and then recites it.

    python examples/char_transformer.py
    python examples/char_transformer.py --epochs 8 --temperature 1.0 --seed 3
    BPKIT_BACKEND=torch python examples/char_transformer.py

"The house that Jack built" (in print since 1755) says one thing more in each verse, and then all that the
verse before said. The model reads windows of the text and gives for each letter the odds of the next one. Its
loss is compared with what counting gets: how often each letter follows the one, two or three before it.
"""

import argparse
import math
from collections import Counter

import bpkit
from bpkit import losses, nn, optim, random, training, xp

BATCH = 16

THINGS = [
    ("lay in", "the house that Jack built"),
    ("ate", "the malt"),
    ("killed", "the rat"),
    ("worried", "the cat"),
    ("tossed", "the dog"),
    ("milked", "the cow with the crumpled horn"),
    ("kissed", "the maiden all forlorn"),
    ("married", "the man all tattered and torn"),
    ("woke", "the priest all shaven and shorn"),
    ("kept", "the cock that crowed in the morn"),
    ("", "the farmer sowing his corn"),
]


def verse(newest):
    """One verse, from its newest thing back to the house."""
    lines = [f"This is {THINGS[newest][1]}"]
    lines += [f"that {does} {thing}" for does, thing in reversed(THINGS[:newest])]
    return "\n".join(lines) + ".\n\n"


class Reciter(nn.Module):
    """For each letter of a text the logits of the next one: integers (n, length) to (n, length, letters)."""

    embedding: nn.Embedding
    places: nn.Embedding
    blocks: tuple[nn.TransformerBlock, ...]
    out: nn.Dense

    def __init__(self, letters, length, width, depth, *, key):
        keys = xp.unstack(random.split(key, depth + 3))
        kind = {"dtype": "float32"}
        self.embedding = nn.Embedding(letters, width, key=keys[0], **kind)
        self.places = nn.Embedding(length, width, key=keys[1], **kind)
        self.out = nn.Dense(width, letters, key=keys[2], **kind)
        self.blocks = tuple(
            nn.TransformerBlock(width, 4, key=key, activation=nn.silu, norm_first=True, **kind)
            for key in keys[3:]
        )

    def __call__(self, ids):
        """Logits for all places at once; each sees only what stands before it."""
        x = self.embedding(ids) + self.places.weight
        for block in self.blocks:
            x = block(x, causal=True)
        return self.out(x)


@bpkit.jit
def next_letter(model, ids, place, temperature, key):
    """A letter drawn from what the model gives at this place, by Gumbel noise."""
    logits = xp.take(model(ids)[0, :, :], place, axis=0)[0, :]
    noise = -xp.log(-xp.log(random.uniform(key, logits.shape, dtype="float32", minval=1e-7)))
    return xp.argmax(logits + temperature * noise)


def recite(model, letters, length, prompt, count, temperature, key):
    """A text that begins with the prompt and goes on for so many letters."""
    ids = [letters.index(letter) for letter in prompt]
    heat = xp.asarray(temperature, dtype="float32")
    for step in range(count):
        seen = ids[-length:]
        window = xp.asarray([seen + [0] * (length - len(seen))])
        place = xp.asarray([len(seen) - 1])
        ids.append(int(next_letter(model, window, place, heat, random.fold_in(key, step))))
    return "".join(letters[i] for i in ids)


def bits_by_counting(text, before):
    """Bits that a letter of the text costs who knows how often each follows the so many before it."""
    seen = Counter(text[i : i + before + 1] for i in range(len(text) - before))
    starts = Counter(text[i : i + before] for i in range(len(text) - before))
    bits = sum(count * math.log2(starts[part[:-1]] / count) for part, count in seen.items())
    return bits / (len(text) - before)


def main() -> None:
    """Train, compare with counting letters, and recite the last verse."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=8, help="each goes through the rhyme once")
    parser.add_argument("--width", type=int, default=48, help="numbers that stand for a letter")
    parser.add_argument("--length", type=int, default=48, help="letters that it sees at once")
    parser.add_argument("--temperature", type=float, default=0.5, help="0: always the likeliest letter")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a smaller model, three epochs")
    options = parser.parse_args()
    if min(options.epochs, options.width, options.length) < 1:
        parser.error("--epochs, --width and --length count from 1")
    if options.quick:
        options.epochs, options.width, options.length = 3, 32, 32

    text, length = "".join(map(verse, range(len(THINGS)))), options.length
    letters = sorted(set(text))
    ids = xp.asarray([letters.index(letter) for letter in text])
    windows = xp.stack([ids[i : i + length + 1] for i in range(len(text) - length)])
    model_key, training_key, reciting_key = xp.unstack(random.split(random.key(options.seed), 3))
    model = Reciter(len(letters), length, options.width, 2, key=model_key)

    def tell(event, state):
        if isinstance(event, training.Epoch):
            bits = event.loss / math.log(2)
            print(f"epoch {event.epoch}: {bits:.3f} bits a letter, {event.seconds:.1f} s")

    steps = options.epochs * math.ceil(len(windows) / BATCH)
    fitted = training.fit(
        model,
        (windows[:, :-1], windows[:, 1:]),
        losses.softmax_cross_entropy,
        optim.adam(optim.schedules.cosine(0.006, steps)),
        batch_size=BATCH,
        epochs=options.epochs,
        key=training_key,
        callbacks=[tell],
        progress=False,
    )
    print(f"\nbits a letter (the rhyme has {len(text):,} letters, {len(letters)} of them different):")
    rows = [(f"counts of letters after {n} others", bits_by_counting(text, n)) for n in (0, 1, 2, 3)]
    rows.append(("the transformer, in its last epoch", fitted.history[-1].loss / math.log(2)))
    for name, bits in rows:
        print(f"  {name:36}{bits:6.3f}")

    last = verse(len(THINGS) - 1)
    prompt = "This is the farmer"
    said = recite(
        fitted.model, letters, length, prompt, len(last) - len(prompt), options.temperature, reciting_key
    )
    right = next((i for i, (a, b) in enumerate(zip(said, last, strict=True)) if a != b), len(last))
    print(f"\nIt goes on after {prompt!r}; right up to letter {right} of {len(last)}:\n\n{said}")


if __name__ == "__main__":
    main()
