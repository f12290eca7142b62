"""The schema of `run.db`, as numbered migrations. A migration is never edited after a release that contains it.

Table names are a stable interface. Nothing that was paid for is ever deleted: pairs are made again in place, and their
completions stay.
"""

from collections.abc import Callable, Mapping, Sequence

from clairgen.keys import pair_id

_FIRST = """
CREATE TABLE meta (                  -- of the run: id, version that made it, filter set in force, fingerprint of the tasks
    key TEXT PRIMARY KEY, value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE configurations (        -- every resolved configuration that pairs were generated with
    id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, yaml TEXT NOT NULL
);

CREATE TABLE plans (                 -- what the requests of a recipe are made of; when that changes, its pairs are made again
    recipe TEXT PRIMARY KEY, plan TEXT NOT NULL, revises INTEGER NOT NULL, created_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE messages (              -- what was sent, once per content hash; canonical JSON, zlib
    hash TEXT PRIMARY KEY, body BLOB NOT NULL
);

CREATE TABLE templates (
    hash TEXT PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE tasks (                 -- position counts from 1 in the order of the source
    position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, messages TEXT NOT NULL UNIQUE,
    answers BLOB                     -- the source's own answers, as JSON, zlib
);

CREATE TABLE completions (           -- answers that may be used, kept permanently
    key TEXT PRIMARY KEY, role TEXT NOT NULL, model TEXT NOT NULL, revision TEXT, sample INTEGER NOT NULL,
    parameters TEXT NOT NULL, messages TEXT NOT NULL, template TEXT, text TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, latency_seconds REAL NOT NULL, endpoint TEXT NOT NULL,
    response_id TEXT, cost_usd REAL, created_at TEXT NOT NULL, reused_from TEXT
);

CREATE TABLE attempts (              -- requests without a completion; billed is whether they may have cost money
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, role TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL,
    reason TEXT NOT NULL, detail TEXT NOT NULL, status INTEGER, billed INTEGER NOT NULL, latency_seconds REAL NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX attempts_by_key ON attempts (key);

CREATE TABLE spending (              -- calls that may cost something, in 1e-12 US dollars; cost is null while it is unknown
    id INTEGER PRIMARY KEY, role TEXT NOT NULL, most INTEGER, cost INTEGER, begun_at TEXT NOT NULL
);

CREATE TABLE judgements (            -- a judge's verdict on answers 1 and 2 of a task; choice is the position that it chose
    task_id TEXT NOT NULL, recipe TEXT NOT NULL, role TEXT NOT NULL, round INTEGER NOT NULL, key TEXT NOT NULL,
    shown_first INTEGER NOT NULL, shown_second INTEGER NOT NULL, choice INTEGER, status TEXT NOT NULL, reasoning TEXT,
    parser_version INTEGER NOT NULL,
    PRIMARY KEY (task_id, recipe, role, round, shown_first)
) WITHOUT ROWID;
CREATE INDEX judgements_by_recipe ON judgements (recipe, status);

CREATE TABLE pairs (                 -- id is the hash of task and recipe; where nothing was chosen, rejected is the first answer
    id TEXT PRIMARY KEY, position INTEGER NOT NULL, task_id TEXT NOT NULL, recipe TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'made', 'failed')),
    prompt TEXT, chosen TEXT, rejected TEXT, unparsed TEXT, chosen_finish_reason TEXT, rejected_finish_reason TEXT,
    chosen_model TEXT, rejected_model TEXT, reasoning TEXT, parse_status TEXT, parser_version INTEGER,
    levenshtein INTEGER, jaccard REAL, length_ratio REAL, tokeniser TEXT, metrics_version INTEGER,
    filter_set INTEGER, drop_reason TEXT, made_at TEXT, reasked INTEGER NOT NULL DEFAULT 0, missed TEXT
);
CREATE INDEX pairs_by_status ON pairs (recipe, status, position);
CREATE INDEX pairs_pending ON pairs (position) WHERE status = 'pending';

CREATE TABLE pair_asks (             -- which completions made a pair
    pair_id TEXT NOT NULL, part TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (pair_id, part)
) WITHOUT ROWID;

CREATE TABLE failures (              -- pairs that could not be made, until they are; `generate --retry-failed` tries again
    pair_id TEXT PRIMARY KEY, task_id TEXT NOT NULL, recipe TEXT NOT NULL, role TEXT, reason TEXT NOT NULL,
    detail TEXT NOT NULL, failed_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE filter_sets (
    id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, settings TEXT NOT NULL
);

CREATE TABLE filter_results (        -- what the filters of a set found; a pair without a row passed
    filter_set INTEGER NOT NULL, pair_id TEXT NOT NULL, position INTEGER NOT NULL, filter TEXT NOT NULL,
    action TEXT NOT NULL, reason TEXT NOT NULL, value, PRIMARY KEY (filter_set, pair_id, position)
) WITHOUT ROWID;

CREATE TABLE votes (                 -- a person's opinion of a pair
    pair_id TEXT NOT NULL, voter TEXT NOT NULL, vote TEXT NOT NULL, note TEXT, created_at TEXT NOT NULL,
    PRIMARY KEY (pair_id, voter)
) WITHOUT ROWID;
"""

_ADVICE = """
CREATE TABLE advice (                -- the objective that fits a pair, by comparing its winner with fresh answers of the target
    pair_id TEXT PRIMARY KEY, objective TEXT NOT NULL CHECK (objective IN ('apo-zero', 'apo-down')),
    confidence REAL NOT NULL, wins INTEGER NOT NULL, losses INTEGER NOT NULL, ties INTEGER NOT NULL,
    judged_by TEXT NOT NULL, advised_at TEXT NOT NULL
) WITHOUT ROWID;
"""

_FIELD_WORDS = """
ALTER TABLE pairs RENAME COLUMN tokeniser TO tokenizer;
UPDATE meta SET key = 'tokenizer' WHERE key = 'tokeniser';
ALTER TABLE pairs RENAME COLUMN reasked TO retried;      -- whether a revision failed its check and was requested once more
ALTER TABLE pairs RENAME COLUMN missed TO failed_check;  -- the check that the pair still fails
ALTER TABLE pair_asks RENAME TO pair_requests;
ALTER TABLE pair_requests RENAME COLUMN part TO purpose; -- chosen, rejected, or request-N for all others
UPDATE pair_requests SET purpose = replace(purpose, 'asked-', 'request-') WHERE purpose LIKE 'asked-%';
ALTER TABLE spending RENAME COLUMN most TO max_cost;
ALTER TABLE spending RENAME COLUMN begun_at TO started_at;
UPDATE meta SET key = 'tokenizer' WHERE key = 'tokeniser';
UPDATE meta SET key = replace(key, 'expected:', 'last_position:') WHERE key LIKE 'expected:%';
UPDATE filter_results SET filter = 'revision_mention' WHERE filter = 'allusion';

-- The recipe worsened is now degraded. A pair's id is the hash of its task and recipe.
CREATE TEMP TABLE renamed AS
    SELECT id AS old_id, pair_id(task_id, 'degraded') AS new_id FROM pairs WHERE recipe = 'worsened';
CREATE UNIQUE INDEX temp.renamed_by_old_id ON renamed (old_id);
UPDATE pairs SET recipe = 'degraded', id = (SELECT new_id FROM renamed WHERE old_id = id) WHERE recipe = 'worsened';
UPDATE pair_requests SET pair_id = (SELECT new_id FROM renamed WHERE old_id = pair_id)
    WHERE pair_id IN (SELECT old_id FROM renamed);
UPDATE failures SET recipe = 'degraded', pair_id = (SELECT new_id FROM renamed WHERE old_id = pair_id)
    WHERE recipe = 'worsened';
UPDATE filter_results SET pair_id = (SELECT new_id FROM renamed WHERE old_id = pair_id)
    WHERE pair_id IN (SELECT old_id FROM renamed);
UPDATE votes SET pair_id = (SELECT new_id FROM renamed WHERE old_id = pair_id) WHERE pair_id IN (SELECT old_id FROM renamed);
UPDATE advice SET pair_id = (SELECT new_id FROM renamed WHERE old_id = pair_id) WHERE pair_id IN (SELECT old_id FROM renamed);
UPDATE judgements SET recipe = 'degraded' WHERE recipe = 'worsened';
UPDATE plans SET recipe = 'degraded' WHERE recipe = 'worsened';
UPDATE meta SET key = 'last_position:degraded' WHERE key = 'last_position:worsened';
DROP TABLE renamed;
"""

_REMOVED = """
ALTER TABLE pairs ADD COLUMN chosen_removed TEXT;    -- what was taken off the completion: thinking, control tokens
ALTER TABLE pairs ADD COLUMN rejected_removed TEXT;
"""

_MENTIONS = """
UPDATE filter_results SET reason = 'mentions-revision' WHERE reason = 'alludes-to-revision';
UPDATE templates SET name = 'degrade' WHERE name = 'worsen';
"""

_EVALUATIONS = """
CREATE TABLE evaluations (           -- a model on a set of items; id is the digest of kind, data, models, sampling and rules
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, label TEXT NOT NULL, data TEXT NOT NULL, items INTEGER NOT NULL,
    settings TEXT NOT NULL,          -- all that the id is the digest of, as canonical JSON
    created_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE evaluation_items (      -- what came of an item; items of one cluster are about the same prompt
    evaluation_id TEXT NOT NULL, position INTEGER NOT NULL, item_id TEXT NOT NULL, cluster TEXT NOT NULL, part TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('scored', 'unreadable', 'failed')), score REAL, reason TEXT,
    detail TEXT NOT NULL,            -- what is needed to show it, as JSON
    requests TEXT NOT NULL,          -- role and key of the completions that the score rests on, as JSON
    PRIMARY KEY (evaluation_id, position)
) WITHOUT ROWID;
"""

_SERVED = """
ALTER TABLE completions ADD COLUMN served_model TEXT;       -- the model's name as the server gives it in its answer
ALTER TABLE completions ADD COLUMN system_fingerprint TEXT; -- what the server says of its own version, if it does
"""

_IMPORTED = """
ALTER TABLE pairs ADD COLUMN source_columns TEXT; -- further columns of an imported pair's row, as a JSON object
"""

_THINKING = """
ALTER TABLE completions ADD COLUMN thinking TEXT; -- thoughts that came apart from the text; empty where they are in it
"""

_SCORES = """
CREATE TABLE scores (                -- what a scorer gave an answer to a pair's task; answer is the key of its completion
    pair_id TEXT NOT NULL, position INTEGER NOT NULL, answer TEXT NOT NULL,
    side TEXT CHECK (side IN ('chosen', 'rejected')), -- null for an answer that the pair does not have
    criterion TEXT NOT NULL, scorer TEXT NOT NULL, key TEXT NOT NULL,
    value REAL, status TEXT NOT NULL, parser_version INTEGER, reasoning TEXT, PRIMARY KEY (pair_id, position)
) WITHOUT ROWID;
"""

_VOTES = """
CREATE TABLE cast_votes (            -- people's opinions of pairs, all of them; of each voter on a pair the latest counts
    id INTEGER PRIMARY KEY, pair_id TEXT NOT NULL, voter TEXT NOT NULL, vote TEXT NOT NULL, note TEXT, created_at TEXT NOT NULL,
    outdated_at TEXT                 -- when the pair got other answers than those that the vote is about
);
INSERT INTO cast_votes (pair_id, voter, vote, note, created_at) SELECT pair_id, voter, vote, note, created_at FROM votes;
DROP TABLE votes;
ALTER TABLE cast_votes RENAME TO votes;
CREATE INDEX votes_by_pair ON votes (pair_id, voter);
"""

_CHANGES = """
CREATE TABLE pair_changes (          -- each made pair that came, changed or went, for what is kept up to date beside the run
    change INTEGER PRIMARY KEY, pair_id TEXT NOT NULL
);
CREATE TRIGGER pair_came AFTER INSERT ON pairs WHEN NEW.status = 'made' BEGIN
    INSERT INTO pair_changes (pair_id) VALUES (NEW.id);
END;
CREATE TRIGGER pair_changed AFTER UPDATE OF status, chosen, rejected, levenshtein, drop_reason, filter_set, made_at ON pairs
    -- A new filter set is given to all pairs at once, and seen by its number.
    WHEN (OLD.status = 'made' OR NEW.status = 'made') AND NOT (OLD.status = NEW.status AND OLD.made_at IS NEW.made_at
        AND OLD.filter_set IS NOT NEW.filter_set)
BEGIN
    INSERT INTO pair_changes (pair_id) VALUES (NEW.id);
END;
CREATE TRIGGER pair_went AFTER DELETE ON pairs WHEN OLD.status = 'made' BEGIN
    INSERT INTO pair_changes (pair_id) VALUES (OLD.id);
END;
"""

_PEOPLE = """
CREATE TABLE review_queues (         -- pairs that were drawn for people to vote on; choice says among which, as JSON
    name TEXT PRIMARY KEY, choice TEXT NOT NULL, seed INTEGER NOT NULL, overlap INTEGER NOT NULL,
    lease_seconds REAL NOT NULL, created_at TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE queued_pairs (
    queue TEXT NOT NULL, position INTEGER NOT NULL, pair_id TEXT NOT NULL, PRIMARY KEY (queue, position)
) WITHOUT ROWID;
CREATE UNIQUE INDEX queued_pairs_by_pair ON queued_pairs (queue, pair_id);

CREATE TABLE leases (                -- who was handed which pair of a queue, until when, in seconds since 1970
    queue TEXT NOT NULL, pair_id TEXT NOT NULL, voter TEXT NOT NULL, until REAL NOT NULL,
    skipped INTEGER NOT NULL DEFAULT 0, -- whether this person does not want the pair again
    PRIMARY KEY (queue, pair_id, voter)
) WITHOUT ROWID;

CREATE TABLE revisions (             -- answers that people edited, all of them; pair_id is the pair that an edit makes
    id INTEGER PRIMARY KEY, pair_id TEXT NOT NULL, from_pair TEXT NOT NULL, from_version TEXT NOT NULL,
    answer TEXT NOT NULL CHECK (answer IN ('chosen', 'rejected')), editor TEXT NOT NULL, text TEXT NOT NULL, note TEXT,
    created_at TEXT NOT NULL,
    replaced_at TEXT                 -- when the same person edited the same answer otherwise
);
CREATE INDEX revisions_by_pair ON revisions (pair_id);
CREATE INDEX revisions_by_origin ON revisions (from_pair, answer, editor);
"""

_TIERS = """
ALTER TABLE completions ADD COLUMN service_tier TEXT; -- the tier that the server says it used, if it does
"""

_BATCHES = """
CREATE TABLE batches (               -- requests given to a provider together; id stands in its metadata and in the file's name
    id TEXT PRIMARY KEY, role TEXT NOT NULL, model TEXT NOT NULL, revision TEXT, endpoint TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('collected', 'uploaded', 'created', 'ended')),
    create_sent INTEGER NOT NULL,    -- whether a request to create it was sent whose outcome is not known
    requests INTEGER NOT NULL, bytes INTEGER NOT NULL, tokens INTEGER NOT NULL, input_price REAL, output_price REAL,
    file_id TEXT, batch_id TEXT,     -- the provider's names of it
    duplicate_of TEXT,               -- for a second one that the provider made of one request to create it
    status TEXT, completed INTEGER, failed INTEGER, expires_at REAL, -- as the provider said last; nothing rests on its numbers
    created_at TEXT NOT NULL, submitted_at TEXT, ended_at TEXT, detail TEXT
);

CREATE TABLE batch_lines (           -- the requests of a batch, by content key; outcome is null while one waits, then answered
    batch TEXT NOT NULL, key TEXT NOT NULL, outcome TEXT, -- or the reason why there is no answer
    call INTEGER,                    -- what is reserved for it, in spending
    sample INTEGER NOT NULL, parameters TEXT NOT NULL, messages TEXT NOT NULL, template TEXT,
    PRIMARY KEY (batch, key)
) WITHOUT ROWID;

CREATE TABLE batch_strays (          -- what came back and fits no line, or cannot be read; body is compressed (zlib)
    batch TEXT NOT NULL, content TEXT NOT NULL, custom_id TEXT, reason TEXT NOT NULL, body BLOB NOT NULL,
    created_at TEXT NOT NULL, PRIMARY KEY (batch, content)
) WITHOUT ROWID;
"""

_TEXTS_APART = """
DROP TRIGGER pair_came;
DROP TRIGGER pair_changed;
DROP TRIGGER pair_went;

-- Without its texts a pair is a few hundred bytes, so that figures and verdicts are read and written without them.
CREATE TABLE narrow_pairs (          -- id is the hash of task and recipe; number is what its texts go by
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, position INTEGER NOT NULL, task_id TEXT NOT NULL, recipe TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'made', 'failed')),
    prompt TEXT, chosen_finish_reason TEXT, rejected_finish_reason TEXT, chosen_model TEXT, rejected_model TEXT,
    chosen_removed TEXT, rejected_removed TEXT, parse_status TEXT, parser_version INTEGER,
    levenshtein INTEGER, jaccard REAL, length_ratio REAL, tokenizer TEXT, metrics_version INTEGER,
    filter_set INTEGER, drop_reason TEXT, made_at TEXT, retried INTEGER NOT NULL DEFAULT 0, failed_check TEXT, source_columns TEXT
);
INSERT INTO narrow_pairs SELECT rowid, id, position, task_id, recipe, status, prompt, chosen_finish_reason,
    rejected_finish_reason, chosen_model, rejected_model, chosen_removed, rejected_removed, parse_status, parser_version,
    levenshtein, jaccard, length_ratio, tokenizer, metrics_version, filter_set, drop_reason, made_at, retried, failed_check,
    source_columns FROM pairs ORDER BY rowid;

CREATE TABLE pair_texts (            -- of a pair that was made; where nothing was chosen, rejected is the first answer
    pair INTEGER PRIMARY KEY, chosen TEXT, rejected TEXT NOT NULL, unparsed TEXT, reasoning TEXT
);
INSERT INTO pair_texts SELECT rowid, chosen, rejected, unparsed, reasoning FROM pairs WHERE rejected IS NOT NULL ORDER BY rowid;

DROP TABLE pairs;
ALTER TABLE narrow_pairs RENAME TO pairs;
CREATE INDEX pairs_by_status ON pairs (recipe, status, position);
CREATE INDEX pairs_pending ON pairs (position) WHERE status = 'pending';

CREATE TRIGGER pair_came AFTER INSERT ON pairs WHEN NEW.status = 'made' BEGIN
    INSERT INTO pair_changes (pair_id) VALUES (NEW.id);
END;
CREATE TRIGGER pair_changed AFTER UPDATE OF status, levenshtein, drop_reason, filter_set, made_at ON pairs
    -- Answers change with made_at. A new filter set is given to all pairs at once, and seen by its number.
    WHEN (OLD.status = 'made' OR NEW.status = 'made') AND NOT (OLD.status = NEW.status AND OLD.made_at IS NEW.made_at
        AND OLD.filter_set IS NOT NEW.filter_set)
BEGIN
    INSERT INTO pair_changes (pair_id) VALUES (NEW.id);
END;
CREATE TRIGGER pair_went AFTER DELETE ON pairs WHEN OLD.status = 'made' BEGIN
    INSERT INTO pair_changes (pair_id) VALUES (OLD.id);
END;
CREATE TRIGGER texts_went AFTER DELETE ON pairs BEGIN
    DELETE FROM pair_texts WHERE pair = OLD.number;
END;

-- What pairs cost is added up by the keys of their answers, without reading those.
CREATE INDEX completions_by_cost ON completions (key, cost_usd) WHERE cost_usd IS NOT NULL;
"""

MIGRATIONS: Sequence[str] = (
    *(_FIRST, _ADVICE, _FIELD_WORDS, _REMOVED, _MENTIONS, _EVALUATIONS, _SERVED),
    *(_IMPORTED, _THINKING, _SCORES, _VOTES, _CHANGES, _PEOPLE, _TIERS, _BATCHES, _TEXTS_APART),
)
"""Migration n takes a database from version n to n + 1, in one transaction with the record that it ran."""

FUNCTIONS: Mapping[str, tuple[int, Callable[..., str]]] = {"pair_id": (2, pair_id)}
"""SQL functions that migrations call, by name: how many arguments they take, and the function."""

VERSION = len(MIGRATIONS)
