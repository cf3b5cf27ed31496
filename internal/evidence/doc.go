// Package evidence holds descry's words as types: observations, recordings' details, cases,
// findings, and the one JSON form in which all of descry speaks of them.
//
// It imports nothing of ours. Everything that two parts must agree on stands here: the kinds of
// observations, the kinds of descriptors and how they are grouped, error and signal names.
//
// Two encodings exist. JSON is the form of a case, for people, APIs and stores; fields may be
// added and are never renamed, and fields that this version does not know survive reading and
// writing. The binary form (AppendBinary, DecodeBinary) is the recorder's: it allocates nothing
// when it encodes.
package evidence
