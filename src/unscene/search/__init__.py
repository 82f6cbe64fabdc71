"""Features of an encoder put to use: an index of a folder of footage, and what can be asked of it.

    videos -> windows -> features, motion strength -> index (LanceDB)
    index  -> moments like this one; labels -> intervals of new footage; groups

`unscene.search.index.Index` is the way in.
"""

import os

# Read when LanceDB is imported, which otherwise warns of every new table.
os.environ.setdefault("LANCEDB_LOG", "error")
