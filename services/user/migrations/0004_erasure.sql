-- Who was erased leaves a row without anything of the person, for ever: no late event and no late call makes a profile anew.
alter table profiles
    add column erased_at timestamptz,
    add constraint profiles_erased_check check (
        erased_at is null
        or (display_name = '' and bio = '' and avatar_uri = '' and locale = '' and time_zone = ''));
