-- The zone of the office: an entry of `ledger`, written with the event that makes or migrates it. An earlier build would
-- take the day of Greenwich for the office's and must not write here.
PRAGMA user_version = 3;
