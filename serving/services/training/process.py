"""The process that learns one head from the labels that the user gave."""

import os
import threading
from multiprocessing.connection import Connection

from adaptation.data.examples import read_examples
from adaptation.methods.registry import METHODS, RECOMMENDED
from adaptation.train import train
from indexer.devices.processes import end_with_parent
from indexer.errors import ClipdexError
from indexer.images.memory_budget import BUDGET
from indexer.load import active_model, load_encoder
from indexer.store.collection import Collection
from indexer.store.lookup import lookup_where
from search.evaluation.own_labels import own_labels


def run_training(connection: Connection, name: str, collection: Collection) -> None:
    """Learn a head, and report through a connection.

    The messages are ("progress", stage, done, total), and at the end ("done", report),
    ("cancelled", None) or ("failed", why). Any message in the other direction ends the process:
    a head is saved as a whole or not at all.

    Args:
        connection: Where the messages go.
        name: What the head will be called.
        collection: The collection, whose tags are learnt from.
    """
    end_with_parent()
    BUDGET.split(2)  # with the server

    def listen() -> None:
        try:
            connection.recv()
        except EOFError:
            return
        connection.send(("cancelled", None))
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    try:
        connection.send(("progress", "read", 0, 2))
        truth = own_labels(collection)
        model, fingerprint = active_model(collection)
        encoder = load_encoder(model, fingerprint=fingerprint, device="cpu")
        with lookup_where(collection, encoder.fingerprint) as stored:
            examples = read_examples(truth, encoder, stored=stored)
        connection.send(("progress", "train", 1, 2))
        trained = train(collection, name, examples, encoder, METHODS[RECOMMENDED](), model=model)
        report = {"classes": len(trained.head.classes), "images": len(examples.targets)}
        held = trained.metrics["held_out"]
        if held:
            report |= {key: held[key] for key in ("accuracy", "zero_shot", "margin")}
        connection.send(("done", report))
    except ClipdexError as exc:
        connection.send(("failed", str(exc)))
