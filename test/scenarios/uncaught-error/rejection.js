async function charge(card) { throw new Error('card declined by issuer'); }
async function main() { await charge('4111'); }
main();
