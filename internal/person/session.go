package person

import "time"

// Session is somebody signed in at one browser.
type Session struct {
	Subject   string
	Name      string // what pages call the person
	AuthTime  time.Time
	ACR       string // how; never more than what happened
	AMR       []string
	StartedAt time.Time
	UsedAt    time.Time
}

// Lifetimes bound a session: it ends when nothing has come from it for Idle, and in any case after Most.
type Lifetimes struct{ Idle, Most time.Duration }

// Alive tells whether the session is still good at now.
func (s Session) Alive(l Lifetimes, now time.Time) bool {
	return now.Before(s.UsedAt.Add(l.Idle)) && now.Before(s.StartedAt.Add(l.Most))
}

// Authentication is a person who has just proven who they are.
type Authentication struct {
	Person Person
	At     time.Time
	ACR    string
	AMR    []string
}

// Session begins at now.
func (a Authentication) Session(now time.Time) Session {
	return Session{Subject: a.Person.Subject, Name: a.Person.Shown(), AuthTime: a.At, ACR: a.ACR, AMR: a.AMR, StartedAt: now, UsedAt: now}
}
