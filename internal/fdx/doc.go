// Package fdx is the vocabulary of the Financial Data Exchange as pure data: which data clusters there are, and which
// scope opens which (FDX Consent API 6.3; the later names are those of 6.4).
package fdx
