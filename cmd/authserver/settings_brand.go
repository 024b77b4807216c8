package main

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"authserver/internal/page"
)

// brandSettings are what makes the pages the bank's.
type brandSettings struct {
	BrandName     string `placeholder:"NAME" help:"What the pages call the bank. Unset: the issuer's host."`
	BrandColor    string `placeholder:"#RRGGBB" help:"Colour of the pages' buttons; white text must be readable on it."`
	BrandLogoFile string `placeholder:"FILE" help:"Picture on top of the pages: SVG, PNG, JPEG or WebP, at most 256 KiB."`
}

// logo reads the picture and tells its media type. An SVG is known by its name and its content.
func (u *understanding) logo(file string) (picture []byte, mediaType string) {
	if file == "" {
		return nil, ""
	}
	picture, err := os.ReadFile(file)
	if err != nil {
		u.problem("brand-logo-file: %v", err)
		return nil, ""
	}
	mediaType = http.DetectContentType(picture)
	if strings.EqualFold(filepath.Ext(file), ".svg") && bytes.Contains(picture, []byte("<svg")) {
		mediaType = "image/svg+xml"
	}
	if err := page.CheckLogo(picture, mediaType); err != nil {
		u.problem("brand-logo-file: %s: %v", file, err)
	}
	return picture, mediaType
}

// brand is what makes the pages the bank's.
func (u *understanding) brand(s brandSettings, issuer string) page.Brand {
	b := page.Brand{Name: s.BrandName, Color: s.BrandColor}
	if parsed, err := url.Parse(issuer); b.Name == "" && err == nil {
		b.Name = parsed.Hostname()
	}
	if b.Color != "" {
		if err := page.CheckColor(b.Color); err != nil {
			u.problem("brand-color: %v", err)
		}
	}
	b.Logo, b.LogoType = u.logo(s.BrandLogoFile)
	return b
}
