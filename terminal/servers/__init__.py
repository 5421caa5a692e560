"""Commands that go on until they are ended: servers, and what watches folders."""
