-- The two roles of authserver's database. Run it as a superuser, connected to that database, before the first
-- `authserver migrate up`; it may run again. Set the passwords with \password, or let the roles log in by certificate.
--
--   authserver_migrate  owns the schema: authserver migrate
--   authserver_serve    reads and writes rows: authserver serve and every other sub-command

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authserver_migrate') THEN
        CREATE ROLE authserver_migrate LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authserver_serve') THEN
        CREATE ROLE authserver_serve LOGIN;
    END IF;
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO authserver_migrate;
GRANT USAGE ON SCHEMA public TO authserver_serve;

-- Whatever authserver_migrate makes, authserver_serve may use. TRUNCATE empties the slots of the replay ring.
ALTER DEFAULT PRIVILEGES FOR ROLE authserver_migrate IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON TABLES TO authserver_serve;
ALTER DEFAULT PRIVILEGES FOR ROLE authserver_migrate IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO authserver_serve;
