"""The pages of site admins; to everybody else they are not there."""
