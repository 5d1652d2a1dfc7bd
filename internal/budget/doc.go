// Package budget bounds memory that many connections share. This package may
// change without notice.
package budget
