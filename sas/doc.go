// Package sas reads, checks and writes Shared Access Signature tokens, the
// bearer credential of Azure Relay clients, and the connection strings that
// carry the keys behind them.
//
// A gateway uses it in this order:
//
//  1. [Parse] splits a token into its fields.
//  2. [Token.SignedBy] compares its signature with one key of a rule.
//  3. [ParseAudience] and [Audience.Covers] say whether the address that was
//     signed includes the address that was asked for.
//  4. The caller compares [Token.Expiry] with its clock and the rule's
//     [Right] with the action.
//
// A client calls [Sign], with the key from [ParseConnectionString].
//
// What it is not: it holds no rules and decides nothing; package namespace
// does. It reads no clock. Entra ID tokens are not SAS tokens: Parse answers
// [ErrScheme] to them.
//
// Security: keys and signatures appear in no error, and the fmt verbs %v, %+v
// and %s do not print them for a Token. [ConnectionString.String] is the one
// text with a key in it, because that is its purpose; log
// [ConnectionString.Redacted].
//
// Cost: checks run once per handshake; none of this is hot. All functions may
// be called from any goroutine.
package sas
