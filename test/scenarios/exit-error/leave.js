console.error('schema version 12 is newer than 11');
process.exitCode = 20;
